/* The protocol of the sharing layer, for SPIN: clients with handles to buffers, holds that lie about for others (a file
   on its way), and clients that die at any moment. Each step is what the library does in one turn of a lock or one
   atomic operation; what lies between two of them, others may do. -DCLIENTS, -DBUFFERS: how many.

   A buffer's memory is one of BUFFERS places, used again as soon as it is free. Always: nobody holds what is free; a
   buffer ends once, at its last hold; nobody's count goes below what is his. In the end: nothing is left.

   PLANTED=1: free looks, lets go of its lock, and frees (the weakness of CVE-2016-9120).
   PLANTED=2: a client's death forgets the hold that a call of his under way had taken.
   PLANTED=3: import takes a hold where the count is 0 already. */
#ifndef CLIENTS
#define CLIENTS 3
#endif
#ifndef BUFFERS
#define BUFFERS 2
#endif
#ifndef PLANTED
#define PLANTED 0
#endif
#ifndef STEPS
#define STEPS 2 /* calls of each client */
#endif
#define MOST 2 /* references of one client to one buffer */

byte holds[BUFFERS];        /* of handles and of what lies about */
bool live[BUFFERS];         /* is its memory somebody's? */
byte ends[BUFFERS];         /* how often it ended since it began: 0, then 1 */
byte about[BUFFERS];        /* holds that lie about, for whoever takes them up */
byte refs[CLIENTS * BUFFERS]; /* a handle's references; the handle itself is one hold */
bool dead[CLIENTS];
byte done;

#define REFS(c, b) refs[(c) * BUFFERS + (b)]

inline drop(b) {
  d_step {
    assert(holds[b] > 0);
    holds[b]--;
    last = (holds[b] == 0)
  }
  if
  :: last ->
    /* alone with it now, though not in a lock: its blocks go back */
    assert(live[b] && ends[b] == 0);
    d_step { ends[b] = 1; live[b] = false; last = false }
  :: else
  fi
}

proctype client(byte me) {
  byte b;
  bool last = false;
  bool found = false;
  byte steps = 0;
  do
  :: steps < STEPS && !dead[me] ->
    steps++;
    if :: b = 0 :: BUFFERS > 1 -> b = BUFFERS - 1 fi;
    if
    :: /* allocate: memory that is free, then its handle, or it goes back */
      d_step {
        found = (!live[b] && holds[b] == 0);
        if :: found -> live[b] = true; ends[b] = 0; holds[b] = 1 :: else fi
      }
      if
      :: found ->
        d_step { found = !dead[me]; if :: found -> REFS(me, b)++ :: else fi }
        if :: !found -> drop(b) :: else fi
      :: else
      fi
    :: /* free: look and let go in one turn */
#if PLANTED == 1
      found = (REFS(me, b) > 0);
      if
      :: found ->
        d_step { if :: REFS(me, b) > 0 -> REFS(me, b)-- :: else fi; found = (REFS(me, b) == 0) }
        if :: found -> drop(b) :: else fi
      :: else
      fi
#else
      d_step {
        found = false;
        if
        :: !dead[me] && REFS(me, b) > 0 -> REFS(me, b)--; found = (REFS(me, b) == 0)
        :: else
        fi
      }
      if :: found -> drop(b) :: else fi
#endif
    :: /* share: a hold more, under the lock that keeps the handle */
      d_step {
        if
        :: !dead[me] && REFS(me, b) > 0 && about[b] < 2 -> assert(holds[b] > 0 && live[b]); holds[b]++; about[b]++
        :: else
        fi
      }
    :: /* import what lies about: a hold of one's own first, then a handle; where there is one, a reference of that */
      d_step {
#if PLANTED == 3
        found = true; holds[b]++
#else
        found = (about[b] > 0);
        if :: found -> assert(holds[b] > 0); holds[b]++ :: else fi
#endif
      }
      if
      :: found ->
        d_step {
          if
          :: dead[me] || REFS(me, b) == MOST ->
#if PLANTED == 2
            found = !dead[me]
#else
            found = true
#endif
          :: else -> found = (REFS(me, b) > 0); REFS(me, b)++
          fi
        }
        if :: found -> drop(b) :: else fi
      :: else
      fi
    :: /* one that lies about is closed */
      d_step { found = (about[b] > 0); if :: found -> about[b]-- :: else fi }
      if :: found -> drop(b) :: else fi
    fi
  :: else -> break
  od;
  done++
}

/* Client 0's process dies, whatever he is doing: his handles end, once. */
proctype death() {
  byte b;
  bool last = false;
  bool had = false;
  dead[0] = true;
  for (b : 0 .. BUFFERS - 1) {
    d_step { had = (REFS(0, b) > 0); REFS(0, b) = 0 }
    if :: had -> drop(b) :: else fi
  }
  done++
}

init {
  byte c;
  byte b;
  bool last = false;
  bool had = false;
  atomic {
    for (c : 0 .. CLIENTS - 1) { run client(c) }
    run death()
  }
  done == CLIENTS + 1;
  /* All clients close, and so does what lies about. */
  for (c : 0 .. CLIENTS - 1) {
    for (b : 0 .. BUFFERS - 1) {
      d_step { had = (REFS(c, b) > 0); REFS(c, b) = 0 }
      if :: had -> drop(b) :: else fi
    }
  }
  for (b : 0 .. BUFFERS - 1) {
    do
    :: about[b] > 0 -> about[b]--; drop(b)
    :: else -> break
    od;
    assert(!live[b] && holds[b] == 0)
  }
}
