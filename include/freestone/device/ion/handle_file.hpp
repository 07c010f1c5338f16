// /dev/ion, opened, in the generations that have handles. (shared/spec: ION 1.1 to 1.3.)
#pragma once

#include <cstdint>
#include <optional>
#include <utility>

#include <freestone/core/cacheability.hpp>
#include <freestone/device/answer.hpp>
#include <freestone/device/command_table.hpp>
#include <freestone/device/dma_buf.hpp>
#include <freestone/device/file.hpp>
#include <freestone/device/ion/cache_range.hpp>
#include <freestone/device/ion/calls.hpp>
#include <freestone/device/ion/client.hpp>
#include <freestone/share/client.hpp>

namespace freestone::device {

// Its client is the file's; how it was opened (O_DSYNC) says in G1 how what it shares is cached. It stays where it is.
template <class D, class L, IonGeneration generation>
class IonHandleFile {
  static_assert(generation != IonGeneration::g4, "IonHandleFile: G4 has no handles: IonFile.");

 public:
  using Heaps = IonHeaps<D, L>;
  using Client = IonClient<D, L>;
  using Buffer = DmaBuf<D, L>;
  using Draft = typename Client::Draft;

  IonHandleFile(const Heaps& heaps, ClientId client, IonCookies<L>& cookies, OpenFlags flags, const Holder& holder = {}) noexcept
      : client_(heaps, client, cookies, ~std::uint32_t{0}, holder), is_uncached_(flags.is_synchronous()) {}

  // Commands that this generation does not have: ENOTTY.
  template <class C>
  Answer ioctl(C& call, Command command, std::uint64_t argument) noexcept {
    if constexpr (generation == IonGeneration::g1) {
      return G1<C>::serve(*this, call, command, argument);
    } else if constexpr (generation == IonGeneration::g2) {
      return G2<C>::serve(*this, call, command, argument);
    } else {
      return G3<C>::serve(*this, call, command, argument);
    }
  }

  Client& client() noexcept { return client_; }

 private:
  // The handle is the caller's once he has its number.
  template <IonGeneration layout, class C>
  Outcome<Draft> allocate(C& call, IonAllocation& wanted) noexcept {
    constexpr bool is_one_word = layout == IonGeneration::g1;  // a mask that has flags too
    constexpr std::uint64_t last_page32 = 0xffff'f000;
    if (call.word() == WordSize::bits32 && wanted.length > last_page32) return Errno::invalid;  // for him it wraps
    const std::uint32_t flags = is_one_word ? wanted.heap_mask & ion_flag::secure : wanted.flags;
    const std::uint32_t mask = is_one_word ? wanted.heap_mask & ~ion_flag::secure : wanted.heap_mask;
    Errno error = Errno::none;
    auto draft = client_.allocate({wanted.length, wanted.align, mask, flags}, error);
    return hand_over(call, draft, error, wanted.handle);
  }
  // A descriptor that is not for reading and writing: EACCES. For SHARE of the handle would give one that is.
  template <class C>
  Outcome<Draft> import(C& call, IonFd& wanted) noexcept {
    Errno error = Errno::none;
    std::optional<Draft> draft;
    const Answer found = call.template with_writable_buffer<Buffer>(wanted.fd, &client_.heaps(), [&](Buffer& buffer) {
      draft = client_.import(buffer.buffer(), error);
      return Answer(error);
    });
    // Before G3 callers learn of no error: they get no handle.
    if (is_msm(generation) && found.is_error()) return wanted.handle = 0, done;
    return hand_over(call, draft, found.error(), wanted.handle);
  }
  template <class C>
  static Outcome<Draft> hand_over(C& call, std::optional<Draft>& draft, Errno error, std::uint64_t& handle) noexcept {
    if (!draft) return error;
    handle = draft->handle(call.word());
    return Outcome<Draft>(std::move(*draft));
  }

  template <class C>
  Outcome<> free(C& call, IonHandle& gone) noexcept {
    return client_.free(gone.handle, call.word());
  }

  template <class C>
  Outcome<Buffer> share(C& call, IonFd& shared) noexcept {
    typename D::Ref buffer;
    if (const Errno wrong = client_.share(shared.handle, call.word(), buffer); wrong != Errno::none) return wrong;
    if (const Errno wrong = set_attribute(buffer); wrong != Errno::none) return wrong;
    return {Buffer(std::move(buffer), &client_.heaps()), OpenFlags{OpenFlags::read_write | OpenFlags::close_on_exec}};
  }
  // G1's, from here on, where nobody maps it in another way: EEXIST.
  Errno set_attribute(const typename D::Ref& buffer) noexcept {
    if constexpr (generation == IonGeneration::g1) {
      const auto wanted = is_uncached_ ? Cacheability::uncached : Cacheability::cached;
      const auto set = client_.heaps().device->set_cacheability(buffer, wanted);
      return set ? Errno::none : errno_of(set.error().code);
    }
    return Errno::none;
  }

  template <class C>
  Outcome<> get_flags(C& call, IonFlags& flags) noexcept {
    typename D::Ref buffer;
    if (const Errno wrong = client_.share(flags.handle, call.word(), buffer); wrong != Errno::none) return wrong;
    flags.flags = client_.heaps().flags_of(client_.heaps().device->info(buffer));
    return done;
  }

  // A NULL handle: the descriptor says which buffer.
  template <CacheCommand command, class C>
  Outcome<> maintain(C& call, IonCacheCall& range) noexcept {
    if (range.handle == 0) {
      const Answer found = call.template with_buffer<Buffer>(
          range.fd, &client_.heaps(), [&](Buffer& buffer) { return maintain_range<command>(call, range, buffer.buffer()); });
      return found.error() == Errno::bad_file ? Errno::invalid : found.error();
    }
    typename D::Ref buffer;
    if (const Errno wrong = client_.share(range.handle, call.word(), buffer); wrong != Errno::none) return wrong;
    return maintain_range<command>(call, range, buffer).error();
  }
  // What there is to do is the platform's, where its memory has a cache that others do not see.
  template <CacheCommand command, class C>
  static Answer maintain_range(C& call, const IonCacheCall& range, const typename D::Ref& buffer) noexcept {
    auto& extra = buffer.extra();
    const bool is_cached = buffer.device().info(buffer).cacheability == Cacheability::cached;
    const CacheCall wanted{.command = command,
                           .address = range.address,
                           .offset = range.offset,
                           .length = range.length,
                           .mapping = range.address == 0 ? std::nullopt : call.mapping_at(range.address, buffer),
                           .null_is_whole = generation == IonGeneration::g2};
    return cache_operations({.size = extra.size(), .is_cached = is_cached}, wanted, [&](const auto& part, CacheCommand what) {
      if constexpr (requires { extra.memory().maintain(part, what); }) extra.memory().maintain(part, what);
    });
  }

  // Qualcomm's, of G2: cache operations, PREFETCH and DRAIN. Others are the platform's, where it has
  // Answer ion_custom(C&, Client&, std::uint32_t command, std::uint64_t argument). Without: ENOTTY.
  template <class C>
  Outcome<> custom(C& call, IonCustom& custom) noexcept {
    Answer answer = Errno::no_such_command;
    if constexpr (generation == IonGeneration::g2) answer = G2Custom<C>::serve(*this, call, Command{custom.command}, custom.argument);
    if (answer != Errno::no_such_command) return answer;
    auto& platform = client_.heaps().device->platform();
    if constexpr (requires { platform.ion_custom(call, client_, custom.command, custom.argument); }) {
      return platform.ion_custom(call, client_, custom.command, custom.argument);
    }
    return answer;
  }
  // That much of the heap's memory is wanted soon, and is there already; or no more, and what it keeps of it goes back (0: all).
  // EINVAL: no such heap, or more than it has.
  template <bool is_drain, class C>
  Outcome<> prefetch(C&, IonPrefetch& wanted) noexcept {
    for (auto* heap : client_.heaps().heaps) {
      if (wanted.heap < 0 || heap->info().id != static_cast<unsigned>(wanted.heap)) continue;
      if (wanted.length > heap->info().size.value()) return Errno::invalid;
      if (is_drain) heap->shrink(wanted.length == 0 ? IonHeaps<D, L>::Heap::all : pages_of(wanted.length));
      return done;
    }
    return Errno::invalid;
  }

  template <class C>
  Outcome<> sync(C& call, IonFd& shared) noexcept {
    return call.template with_buffer<Buffer>(shared.fd, &client_.heaps(), [](Buffer& buffer) {
      buffer.memory().sync(AccessBrackets::end | AccessBrackets::read | AccessBrackets::write);
      return done;
    });
  }
  template <class C>
  Outcome<> query(C& call, IonQuery& query) noexcept {
    return client_.heaps().query(call, query);
  }

  template <IonGeneration layout, class C>
  using Allocate = Entry<'I', 0, Direction::both, IonAllocationWire<layout>, &IonHandleFile::template allocate<layout, C>>;
  template <class C>
  using Free = ComesInOnly<Entry<'I', 1, Direction::both, IonHandleWire<generation>, &IonHandleFile::template free<C>>>;
  template <unsigned number, class C>
  using Share = Entry<'I', number, Direction::both, IonFdWire<generation>, &IonHandleFile::template share<C>, &IonFd::fd>;
  template <class C>
  using Import = Entry<'I', 5, Direction::both, IonFdWire<generation>, &IonHandleFile::template import<C>>;
  // Declared with an int; what is copied is the struct.
  template <class C>
  using ImportAsInt = NumberedWith<Import<C>, 4>;
  template <class C>
  using Custom = ComesInOnly<Entry<'I', 6, Direction::both, IonCustomWire, &IonHandleFile::template custom<C>>>;
  template <char magic, unsigned number, CacheCommand command, class C>
  using Cache = ComesInOnly<Entry<magic, number, Direction::both, IonCacheWire, &IonHandleFile::template maintain<command, C>>>;
  template <unsigned number, bool is_drain, class C>
  using Prefetch = ComesInOnly<Entry<'M', number, Direction::both, IonPrefetchWire, &IonHandleFile::template prefetch<is_drain, C>>>;
  template <class C>
  using GetFlags = Entry<'I', 10, Direction::both, IonFlagsWire, &IonHandleFile::template get_flags<C>>;
  template <class C>
  using Sync = ComesInOnly<Entry<'I', 7, Direction::both, IonFdWire<generation>, &IonHandleFile::template sync<C>>>;
  template <class C>
  using Query = Entry<'I', 8, Direction::both, IonQueryWire, &IonHandleFile::template query<C>>;

  template <class C>
  using G1 = CommandTable<Matching::struct_length, Allocate<IonGeneration::g1, C>, Free<C>, Share<2, C>, Share<4, C>, ImportAsInt<C>,
                          Custom<C>, Cache<'I', 7, CacheCommand::clean, C>,
                          Cache<'I', 8, CacheCommand::invalidate, C>, Cache<'I', 9, CacheCommand::clean_invalidate, C>, GetFlags<C>>;
  // G1's ALLOC too, where its number is another: that of 32-bit callers.
  template <class C>
  using G2 = CommandTable<Matching::struct_length, Allocate<IonGeneration::g2, C>, Allocate<IonGeneration::g1, C>, Free<C>, Share<2, C>,
                          Share<4, C>, ImportAsInt<C>, Custom<C>, GetFlags<C>>;
  template <class C>
  using G2Custom = CommandTable<Matching::struct_length, Cache<'M', 0, CacheCommand::clean, C>, Cache<'M', 1, CacheCommand::invalidate, C>,
                                Cache<'M', 2, CacheCommand::clean_invalidate, C>, Prefetch<3, false, C>, Prefetch<4, true, C>>;
  template <class C>
  using G3 = CommandTable<Matching::code, Allocate<IonGeneration::g3, C>, Free<C>, Share<2, C>, Share<4, C>, Import<C>, Custom<C>,
                          Sync<C>, Query<C>>;

  Client client_;
  bool is_uncached_;
};

}  // namespace freestone::device
