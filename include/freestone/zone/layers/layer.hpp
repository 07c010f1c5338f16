// What all layers have in common. A layer is a zone that does something more round each call: Statistics<Limit<Zone>>.
// The one that is written first sees a call first, and its result last.
//
// Most orders work. These say what the order changes, from the first to the last:
//
//   Annotated              first: to it whatever layers behind it hold (Quarantine, Magazines) is live, and allowed
//   Statistics, Recorder   before Sized and Canaries they tell what the caller asked for, behind them what the zone was
//   Limit                  before Quarantine and Magazines: what goes back counts no more, although they still hold it
//   Canaries               before Quarantine, an overrun is found when the block goes back; behind it, when it leaves
//   Quarantine             as it needs the blocks that go back, before Magazines
//   Scrub                  directly round the zone (or Magazines): a call that is refused behind it left zeros
//   Magazines              behind each layer that must see each call (sees_each_call: Annotated, Canaries, Quarantine,
//                          Scrub, Limit with Tags), for it serves calls that then go no further
//   FaultInjection         behind what is tested
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <type_traits>
#include <utility>

#include <freestone/backing/concept.hpp>
#include <freestone/core/block.hpp>
#include <freestone/core/request.hpp>
#include <freestone/core/result.hpp>
#include <freestone/lock/spin.hpp>
#include <freestone/strategy/concept.hpp>
#include <freestone/zone/owned.hpp>
#include <freestone/zone/zone.hpp>

namespace freestone::layers {

// The settings of a layer that has none.
struct NoSettings {};

// `static constexpr bool sees_each_call = true`: it, or a layer behind it, must see each call, or it is wrong.
template <class Z>
concept must_see_each_call = requires { requires Z::sees_each_call; };

// The part that is the same in every layer: however a caller asks, the call comes through one of four functions, which
// the layer `D` over the zone or layer `Z` replaces where it wants to. `next` is what lies behind it, and is called as
// often as D likes (not at all: the call is refused).
//
// D is made from a Z and its Settings, which stand behind the options and before whatever else Z's `create` takes; one
// that has no settings takes none. D::check says what is wrong with them, before anything is made.
//
// What a layer knows is its handle's own: other handles of a shared zone go round it. Calls that would go round it too
// are not there: reserve, restore, allocate_list where D has no around_list, and recover where it has no after_recover.
template <class D, class Z, class S = NoSettings>
class Layer : public Z {
 public:
  using Inner = Z;
  using Settings = S;
  using typename Z::Options;

  static constexpr bool sees_each_call = must_see_each_call<Z>;  // where D does not say that it must itself

  template <class... Rest>
    requires std::is_same_v<S, NoSettings>
  static constexpr Result<D> create(const Options& options, Rest&&... rest) noexcept {
    return over(options, S(), [&] { return Z::create(options, std::forward<Rest>(rest)...); });
  }
  template <class... Rest>
    requires(!std::is_same_v<S, NoSettings>)
  static constexpr Result<D> create(const Options& options, const S& settings, Rest&&... rest) noexcept {
    return over(options, settings, [&] { return Z::create(options, std::forward<Rest>(rest)...); });
  }
  template <class... Rest>
    requires std::is_same_v<S, NoSettings>
  static constexpr Result<D> attach(const Options& options, Rest&&... rest) noexcept {
    return over(options, S(), [&] { return Z::attach(options, std::forward<Rest>(rest)...); });
  }
  template <class... Rest>
    requires(!std::is_same_v<S, NoSettings>)
  static constexpr Result<D> attach(const Options& options, const S& settings, Rest&&... rest) noexcept {
    return over(options, settings, [&] { return Z::attach(options, std::forward<Rest>(rest)...); });
  }
  template <class... Rest>
    requires(std::is_same_v<S, NoSettings> && Z::Backing::shared)
  static constexpr Result<D> attach_and_recover(const Options& options, Rest&&... rest) noexcept {
    return over(options, S(), [&] { return Z::attach_and_recover(options, std::forward<Rest>(rest)...); });
  }
  template <class... Rest>
    requires(!std::is_same_v<S, NoSettings> && Z::Backing::shared)
  static constexpr Result<D> attach_and_recover(const Options& options, const S& settings, Rest&&... rest) noexcept {
    return over(options, settings, [&] { return Z::attach_and_recover(options, std::forward<Rest>(rest)...); });
  }
  template <class... Rest>
    requires(std::is_same_v<S, NoSettings> && can_publish<typename Z::Backing>)
  static constexpr Result<D> attach_or_create(const Options& options, Rest&&... rest) noexcept {
    return over(options, S(), [&] { return Z::attach_or_create(options, std::forward<Rest>(rest)...); });
  }
  template <class... Rest>
    requires(!std::is_same_v<S, NoSettings> && can_publish<typename Z::Backing>)
  static constexpr Result<D> attach_or_create(const Options& options, const S& settings, Rest&&... rest) noexcept {
    return over(options, settings, [&] { return Z::attach_or_create(options, std::forward<Rest>(rest)...); });
  }

  // --- what a caller may ask ---

  constexpr Result<Block> allocate(const Request& request) noexcept {
    return self().around_allocate(request, [this](const Request& r) { return Z::allocate(r); });
  }
  constexpr Result<Block> allocate(Bytes size) noexcept { return allocate(Request{.size = size}); }
  constexpr Result<Owned<D>> allocate_owned(const Request& request) noexcept {
    const auto block = allocate(request);
    if (!block) return block.error();
    return Owned<D>(self(), *block);
  }
  constexpr Result<Block> allocate_high(const Request& request) noexcept
    requires can_place_high<typename Z::Strategy>
  {
    return self().around_allocate(request, [this](const Request& r) { return Z::allocate_high(r); });
  }
  constexpr Result<Block> allocate_at(Bytes offset, Bytes size) noexcept
    requires(Z::Strategy::places && can_place_at<typename Z::Strategy>)
  {
    return self().around_allocate(Request{.size = size},
                                  [this, offset](const Request& r) { return Z::allocate_at(offset, r.size); });
  }
  constexpr Result<Block> allocate_within(const Request& request, const Bounds& bounds) noexcept
    requires Z::Strategy::places
  {
    return self().around_allocate(request, [this, bounds](const Request& r) { return Z::allocate_within(r, bounds); });
  }
  constexpr Result<Block> resize(const Block& block, Bytes size) noexcept
    requires(Z::Strategy::places && can_resize<typename Z::Strategy>)
  {
    return self().around_resize(block, size, [this](const Block& b, Bytes s) { return Z::resize(b, s); });
  }
  constexpr Result<std::span<Block>> allocate_list(const Request& request, std::span<Block> out) noexcept
    requires can_place_part<typename Z::Strategy>
  {
    static_assert(allocates_lists(),
                  "allocate_list: one of the layers round this zone cannot follow a request in several blocks.");
    return self().around_list(request, [this, out](const Request& r) { return Z::allocate_list(r, out); });
  }
  static consteval bool allocates_lists() noexcept {
    using Next = Result<std::span<Block>> (*)(const Request&);
    return Z::allocates_lists() && requires(D& layer, const Request& request, Next next) {
      layer.around_list(request, next);
    };
  }
  constexpr Result<void> deallocate(const Block& block) noexcept {
    return self().around_deallocate(block, [this](const Block& b) { return Z::deallocate(b); });
  }
  // Where none is live there, the block that D is asked about has no bytes. Costs a look for the block's length more
  // than deallocate.
  constexpr Result<void> deallocate_at(Bytes offset) noexcept {
    if (const std::optional<Block> block = this->find(offset)) return deallocate(*block);
    return self().around_deallocate(Block(offset, 0, this->tag()),
                                    [this](const Block& b) { return Z::deallocate_at(b.offset()); });
  }
  template <class Keep>
  constexpr auto recover(Keep&& keep) noexcept
    requires Z::Backing::shared
  {
    static_assert(requires { self().after_recover(); },
                  "recover: one of the layers round this zone cannot follow it; attach_and_recover makes a handle.");
    const auto found = Z::recover(std::forward<Keep>(keep));
    self().after_recover();
    return found;
  }

  template <class... Arguments>
  void reserve(Arguments&&...) = delete;
  template <class... Arguments>
  void restore(Arguments&&...) = delete;

  // --- what a layer replaces ---

  template <class Next>
  constexpr Result<Block> around_allocate(const Request& request, Next&& next) noexcept {
    return next(request);
  }
  template <class Next>
  constexpr Result<Block> around_resize(const Block& block, Bytes size, Next&& next) noexcept {
    return next(block, size);
  }
  template <class Next>
  constexpr Result<void> around_deallocate(const Block& block, Next&& next) noexcept {
    return next(block);
  }
  // (Lists are followed by those layers only that say how.)
  template <class Next>
  void around_list(const Request&, Next&&) = delete;
  // Blocks may be gone that nobody gave back: what D knows of them must be true again.
  void after_recover() = delete;
  static constexpr Error check(const S&, const Options&) noexcept { return {}; }

 protected:
  constexpr explicit Layer(Z&& zone) noexcept : Z(std::move(zone)) {}
  constexpr Layer(Layer&& other) noexcept : Z(std::move(other)) {}  // its turn is its own
  constexpr Layer& operator=(Layer&& other) noexcept {
    Z::operator=(std::move(other));
    return *this;
  }
  constexpr ~Layer() = default;

  // Holds the layer's own notes while it lives: one thread at a time, where the zone's lock is for several. Not across
  // `next`, or what lies behind is held up too.
  class Turn {
   public:
    constexpr explicit Turn(Layer& layer) noexcept : layer_(layer) {
      if constexpr (has_turns) lock::Spin::attach(&layer_.turn_).lock();
    }
    constexpr ~Turn() {
      if constexpr (has_turns) lock::Spin::attach(&layer_.turn_).unlock();
    }
    Turn(const Turn&) = delete;
    Turn& operator=(const Turn&) = delete;

   private:
    Layer& layer_;
  };

  constexpr Error refuse(ErrorCode code, std::uint64_t asked, std::uint64_t available) const noexcept {
    return {.code = code, .asked = asked, .available = available, .zone = this->name()};
  }

 private:
  static constexpr bool has_turns = Z::Lock::words != 0;
  struct NoTurn {};

  constexpr D& self() noexcept { return static_cast<D&>(*this); }

  template <class Make>
  static constexpr Result<D> over(const Options& options, const S& settings, Make&& make) noexcept {
    if (Error error = D::check(settings, options); error) {
      error.zone = options.name;
      return error;
    }
    auto zone = make();
    if (!zone) return zone.error();
    return D(*std::move(zone), settings);
  }

  [[no_unique_address]] std::conditional_t<has_turns, std::uint64_t, NoTurn> turn_{};
};

}  // namespace freestone::layers
