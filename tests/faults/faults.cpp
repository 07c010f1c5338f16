// The failure sweep: the n-th call of the host's, or of the zone behind a layer, fails, once or for ever, n from 1
// until none is left that could; and every limit on open files from none on, and some on what may be mapped. After each:
// the call's error is a value that says what failed, what was there is as it was, nothing is left behind, and the same
// call then succeeds. A line for each subject, and in the end one for each fault:
//
//   fault=F4 seed=… runs=… unusable=0 leaked=0 corrupt=0
//
// With the word `backings` only these: on an emulated machine the rest takes minutes, and needs nothing that is only there.
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

#include "faults/sweep.hpp"

using namespace freestone::tests;

int main(int count, char** arguments) {
  char path[] = "/tmp/freestone-faults-XXXXXX";
  if (mkdtemp(path) == nullptr) return std::perror(path), 1;
  folder = path;
  shared_name = "freestone-faults-" + std::to_string(getpid());
  static_cast<void>(holdings());  // what it allocates once it keeps
  sweep_backings();
  if (count < 2 || std::string_view(arguments[1]) != "backings") {
#if defined(FREESTONE_FAKE_CUDA)
    sweep_gpus();
#endif
    sweep_layers();
    sweep_sharing();
  }
  if (rmdir(path) != 0) std::printf("  something is left in %s\n", path), ++f4.leaked;
  f4.print();
  f6.print();
  return f4.is_good() && f6.is_good() && f4.no_subject_failed && f6.no_subject_failed ? 0 : 1;
}
