// Views: parts of a buffer that its owner lets others see, and takes back. These are the rules of PMEM's subs, but that
// what several grants cover stays until the last of them is withdrawn, that nothing beyond a mapping is ever shown, and
// that the owner's end ends every view, mapped or not, before anybody else can get the memory.
//
// Callers take turns: all views of one buffer and its Views together, by a lock of theirs (LockRank::views) that is held
// while the platform shows and hides, for the last of two changes must also be the last to be seen. What a platform
// itself locks for that (the address space of a process) comes before the turn.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <utility>

#include <freestone/core/result.hpp>
#include <freestone/core/seam.hpp>
#include <freestone/share/buffer_ref.hpp>
#include <freestone/share/grants.hpp>

namespace freestone {

enum class ViewState : std::uint8_t {
  nobodys,    // not connected yet
  connected,  // not mapped yet
  mapped,
  blanked,   // revoked; the mapping is there still, and shows nothing
  revoked,   // and there is no mapping
  unmapped,  // by whoever had it mapped
};

// What the platform does to the mapping of a view, at the same offset there as in the buffer. `show` puts the buffer's
// bytes there; where it fails none of them is. `hide` puts something there that is the view's alone and tells nothing,
// zeros, and returns when no access reaches the buffer any more. Neither calls a view.
template <class S, class V>
concept Screen = requires(S& screen, V& view, const ByteRange& range) {
  { screen.show(view, range) } noexcept -> std::same_as<Result<void>>;
  { screen.hide(view, range) } noexcept;
};

template <class D, std::size_t most_grants = 16>
class Views;

// What one client sees of a buffer of the device D: nothing, but what its owner granted, up to `most_grants` ranges. It
// holds the buffer from `connect` until there is no mapping and can be none any more. It stays where it is; a platform
// may derive its own from it.
//
// It is mapped once in its life, from the buffer's start. A copy that the system makes of the mapping (a fork) is none
// of the view's: it shows nothing, and its end is no unmap. Whoever makes one blanks it first of what for_each_shown says.
template <class D, std::size_t most_grants = 16>
class View {
 public:
  using Ref = BufferRef<D>;

  View() noexcept = default;
  View(const View&) = delete;
  View& operator=(const View&) = delete;
  // Its mapping is gone by then.
  ~View() {
    seam::expect(!has_mapping());
    end(ViewState::unmapped);
  }

  ViewState state() const noexcept { return state_; }
  // Empty, where it holds none.
  const Ref& buffer() const noexcept { return buffer_; }

  // The client maps the first `length` bytes: the grants so far are shown, as far as they lie there. Errors: no_buffer
  // (not connected), mapped_before, revoked, zero_size, not_granules, range_beyond_block; the screen's.
  template <Screen<View> S>
  Result<void> map(Bytes length, S& screen) noexcept {
    if (state_ != ViewState::connected) return why_not_connected();
    const ByteRange whole{0, length};
    if (whole.is_empty()) return ErrorCode::zero_size;
    if (const Error wrong = check(whole); wrong) return wrong;
    if (const auto shown = show<&Granted::first_covered>(whole, screen); !shown) return shown;
    window_ = whole;
    state_ = ViewState::mapped;
    return {};
  }

  // The mapping was split: `kept` of it, bytes of the buffer, is the view's from here on, and the others are copies,
  // which are hidden. Errors: not_mapped, zero_size, not_granules, range_beyond_block (of the mapping).
  template <Screen<View> S>
  Result<void> cut(const ByteRange& kept, S& screen) noexcept {
    if (!has_mapping()) return ErrorCode::not_mapped;
    if (kept.is_empty()) return ErrorCode::zero_size;
    if (const Error wrong = check(kept); wrong) return wrong;
    if (!(kept.clipped_to(window_) == kept)) return error(ErrorCode::range_beyond_block, kept);
    hide<&Granted::first_covered>(window_.until(kept.offset), screen);
    hide<&Granted::first_covered>(window_.from(kept.end()), screen);
    window_ = kept;
    return {};
  }

  // The mapping is gone: the client unmapped it, or is gone himself; or it was revoked, and the platform took it and all
  // copies back. The buffer is let go. Errors: not_mapped.
  Result<void> unmap() noexcept {
    if (!has_mapping()) return ErrorCode::not_mapped;
    end(state_ == ViewState::blanked ? ViewState::revoked : ViewState::unmapped);
    return {};
  }

  // visit(const ByteRange&) for all that its mapping shows, ascending, no two of them side by side.
  template <class Visitor>
  void for_each_shown(Visitor&& visit) const noexcept {
    each<&Granted::first_covered>(grants_, window_, visit);
  }
  // visit(const ByteRange&) for each grant, newest first, whole.
  template <class Visitor>
  void for_each_grant(Visitor&& visit) const noexcept {
    grants_.for_each(visit);
  }

 private:
  friend class Views<D, most_grants>;
  using Owner = Views<D, most_grants>;
  using Granted = Grants<most_grants>;
  using Next = ByteRange (Granted::*)(const ByteRange&) const noexcept;

  bool has_mapping() const noexcept { return state_ == ViewState::mapped || state_ == ViewState::blanked; }
  bool is_revoked() const noexcept { return state_ == ViewState::blanked || state_ == ViewState::revoked; }
  ErrorCode why_not_connected() const noexcept {
    if (is_revoked()) return ErrorCode::revoked;
    return state_ == ViewState::nobodys ? ErrorCode::no_buffer : ErrorCode::mapped_before;
  }

  // Of a view that holds a buffer.
  Error error(ErrorCode code, const ByteRange& range) const noexcept {
    return {.code = code, .asked = range.length.value(), .available = buffer_.parts().size.value()};
  }
  Error check(const ByteRange& range) const noexcept {
    if (!range.is_multiple_of(granule_)) return error(ErrorCode::not_granules, range);
    if (!range.is_within(buffer_.parts().size)) return error(ErrorCode::range_beyond_block, range);
    return {};
  }

  // visit for each run of `within` that `next` finds.
  template <Next next, class Visitor>
  static void each(const Granted& grants, const ByteRange& within, Visitor&& visit) noexcept {
    for (ByteRange run = (grants.*next)(within); !run.is_empty(); run = (grants.*next)(within.from(run.end()))) visit(run);
  }
  template <Next next, class S>
  void hide(const ByteRange& within, S& screen) noexcept {
    each<next>(grants_, within, [&](const ByteRange& run) { screen.hide(*this, run); });
  }
  // Where one cannot be shown none is.
  template <Next next, class S>
  Result<void> show(const ByteRange& within, S& screen) noexcept {
    for (ByteRange run = (grants_.*next)(within); !run.is_empty(); run = (grants_.*next)(within.from(run.end()))) {
      const auto shown = screen.show(*this, run);
      if (!shown) return hide<next>(within.until(run.offset), screen), shown;
    }
    return {};
  }

  // It shows nothing any more, and where it has no mapping it has no buffer either.
  template <class S>
  void blank(S& screen) noexcept {
    hide<&Granted::first_covered>(window_, screen);
    grants_.clear();
    state_ == ViewState::mapped ? static_cast<void>(state_ = ViewState::blanked) : end(ViewState::revoked);
  }
  // The buffer goes last.
  void end(ViewState state) noexcept {
    if (owner_ != nullptr) owner_->unlink(*this);
    grants_.clear();
    window_ = {};
    state_ = state;
    buffer_ = Ref();
  }

  Ref buffer_;
  Bytes granule_ = {};
  ViewState state_ = ViewState::nobodys;
  ByteRange window_ = {};  // what is mapped; empty: nothing
  Granted grants_;
  Owner* owner_ = nullptr;  // in whose list it is
  View* next_ = nullptr;
  View* previous_ = nullptr;
};

// A buffer's views, which its owner has: who has this grants, withdraws and revokes, and nobody else. Holds the buffer
// until revoke(). It stays where it is.
template <class D, std::size_t most_grants>
class Views {
 public:
  using Ref = BufferRef<D>;
  using One = View<D, most_grants>;

  // Of a buffer that is there; ranges are multiples of `granule`, a power of two: what the platform maps at least.
  Views(Ref&& buffer, Bytes granule) noexcept : buffer_(std::move(buffer)), granule_(granule) {
    seam::expect(buffer_ && granule != 0 && (granule.value() & (granule.value() - 1)) == 0);
  }
  Views(const Views&) = delete;
  Views& operator=(const Views&) = delete;
  // After revoke(). Views whose mappings are not taken back yet keep the buffer, each for itself.
  ~Views() {
    seam::expect(is_revoked());
    while (first_ != nullptr) unlink(*first_);
  }

  bool is_revoked() const noexcept { return !buffer_; }
  // Empty, where it was revoked.
  const Ref& buffer() const noexcept { return buffer_; }

  // This view is one of this buffer from here on, and sees nothing yet; `hold` is its own. Where it is already nothing
  // changes. Errors: revoked; no_buffer, of a hold that is empty or another buffer's; has_buffer, of a view that has or had
  // another.
  Result<void> connect(One& view, Ref hold) noexcept {
    if (is_revoked()) return ErrorCode::revoked;
    if (hold != buffer_) return ErrorCode::no_buffer;
    if (view.owner_ == this && !view.is_revoked()) return {};
    if (view.state_ != ViewState::nobodys) return ErrorCode::has_buffer;
    view.buffer_ = std::move(hold);
    view.granule_ = granule_;
    view.state_ = ViewState::connected;
    link(view);
    return {};
  }

  // The view may see this range once more; 0 bytes are nothing. What it could not see is shown where it is mapped.
  // Errors: revoked; not_mapped (it is no more); not_owner, of another's view; not_granules, range_beyond_block,
  // too_many_grants; the screen's. Cost: O(most_grants) for each range that is shown.
  template <Screen<One> S>
  Result<void> grant(One& view, const ByteRange& range, S& screen) noexcept {
    if (const Error wrong = check(view, range); wrong) return wrong;
    if (range.is_empty()) return {};
    if (view.grants_.is_full()) {
      return Error{.code = ErrorCode::too_many_grants, .asked = most_grants + 1, .available = most_grants};
    }
    const auto shown = view.template show<&Grants<most_grants>::first_gap>(range.clipped_to(view.window_), screen);
    if (shown) view.grants_.add(range);
    return shown;
  }
  // One grant of just this range less. What no other covers is hidden. Errors: as grant's but the last two; not_granted.
  template <Screen<One> S>
  Result<void> withdraw(One& view, const ByteRange& range, S& screen) noexcept {
    if (const Error wrong = check(view, range); wrong) return wrong;
    if (range.is_empty()) return {};
    if (!view.grants_.remove(range)) return view.error(ErrorCode::not_granted, range);
    view.template hide<&Grants<most_grants>::first_gap>(range.clipped_to(view.window_), screen);
    return {};
  }

  // The view never sees anything again. Where it is mapped it keeps the buffer until its unmap(). Errors: revoked,
  // not_mapped, not_owner.
  template <Screen<One> S>
  Result<void> revoke(One& view, S& screen) noexcept {
    if (const ErrorCode wrong = check_mine(view); wrong != ErrorCode::none) return wrong;
    view.blank(screen);
    return {};
  }
  // The same for all, and for good: the owner lets go too. Twice is once.
  template <Screen<One> S>
  void revoke(S& screen) noexcept {
    for (One* at = first_; at != nullptr;) {
      One& view = *at;
      at = view.next_;
      if (!view.is_revoked()) view.blank(screen);
    }
    buffer_ = Ref();
  }
  // The platform took every mapping of the buffer back that was revoked (core/platform.hpp: revoke): unmap(), of all these.
  void let_go() noexcept {
    for (One* at = first_; at != nullptr;) {
      One& view = *at;
      at = view.next_;
      if (view.is_revoked()) static_cast<void>(view.unmap());
    }
  }

  // visit(One&) for each that holds the buffer, newest first. It ends none.
  template <class Visitor>
  void for_each(Visitor&& visit) noexcept {
    for (One* at = first_; at != nullptr; at = at->next_) visit(*at);
  }

 private:
  friend One;

  ErrorCode check_mine(const One& view) const noexcept {
    if (view.is_revoked()) return ErrorCode::revoked;
    if (view.state_ == ViewState::unmapped) return ErrorCode::not_mapped;
    return view.owner_ == this ? ErrorCode::none : ErrorCode::not_owner;
  }
  Error check(const One& view, const ByteRange& range) const noexcept {
    const ErrorCode wrong = check_mine(view);
    return wrong == ErrorCode::none ? view.check(range) : Error{.code = wrong};
  }

  void link(One& view) noexcept {
    view.owner_ = this;
    view.next_ = first_;
    if (first_ != nullptr) first_->previous_ = &view;
    first_ = &view;
  }
  void unlink(One& view) noexcept {
    (view.previous_ == nullptr ? first_ : view.previous_->next_) = view.next_;
    if (view.next_ != nullptr) view.next_->previous_ = view.previous_;
    view.owner_ = nullptr;
    view.next_ = view.previous_ = nullptr;
  }

  Ref buffer_;
  const Bytes granule_;
  One* first_ = nullptr;
};

}  // namespace freestone
