#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <type_traits>
#include <utility>

#include <freestone/backing/concept.hpp>

namespace freestone::backing {

namespace detail {

struct NoSettings {};
template <class B>
struct SettingsOf {
  using type = NoSettings;
};
template <class B>
  requires can_create_with<B, typename B::Settings>
struct SettingsOf<B> {
  using type = typename B::Settings;
};

template <std::size_t I, class B>
struct CascadeMember {
  std::optional<B> made;
};
template <std::size_t I, class B>
struct CascadeSettings {
  typename SettingsOf<B>::type of = {};
};

template <class Numbers, class... Bs>
struct CascadeParts;
template <std::size_t... I, class... Bs>
struct CascadeParts<std::index_sequence<I...>, Bs...> {
  struct Members : CascadeMember<I, Bs>... {};
  struct Settings : CascadeSettings<I, Bs>... {};
};

}  // namespace detail

// The first of several that can be made and is as asked for: `Cascade<DmaHeap, Udmabuf, Anonymous>`. Each is asked the
// same, and one that is too small, lies between granules or has too few notes is given back: the next one's turn. It
// can do what all of them can, maps its memory only as all of them do, and is shared where one of them may be.
template <class... Bs>
class Cascade {
  static_assert(sizeof...(Bs) != 0, "Cascade takes one Backing or more.");
  using Parts = detail::CascadeParts<std::index_sequence_for<Bs...>, Bs...>;

 public:
  static constexpr bool shared = (Bs::shared || ...);
  static constexpr bool gives(Cacheability c) noexcept { return (Bs::gives(c) && ...); }

  // One pair of braces for each: {{{.heap = "/dev/dma_heap/system"}}, {}}. Empty ones have their defaults.
  using Settings = typename Parts::Settings;

  // The error when there is none: of the first that failed for more than that no such device is there (no_device), for
  // that may be helped; where all say so, the last one's. Besides those of each: data_too_small, base_misaligned,
  // zone_overflow, notes_too_small of one that was made and is not as asked for. Nothing is left behind.
  static constexpr Result<Cascade> create(const BackingRequest& request) noexcept
    requires(can_create<Bs> && ...)
  {
    return create_from<0>(request, detail::NoSettings{});
  }
  static constexpr Result<Cascade> create(const BackingRequest& request, const Settings& settings) noexcept
    requires((can_create<Bs> || can_create_with<Bs, typename detail::SettingsOf<Bs>::type>) && ...)
  {
    return create_from<0>(request, settings);
  }

  // Which of them it is, counted from 0, and it itself: nullptr where it is another.
  constexpr std::size_t index() const noexcept { return index_; }
  template <std::size_t I>
  constexpr auto* get_if() noexcept {
    auto& made = member<I>(members_);
    return made ? &*made : nullptr;
  }

  constexpr Bytes size() const noexcept {
    return visit(*this, [](const auto& b) { return b.size(); });
  }
  constexpr Bytes base() const noexcept {
    return visit(*this, [](const auto& b) { return b.base(); });
  }
  constexpr std::span<std::uint64_t> notes() noexcept {
    return visit(*this, [](auto& b) { return b.notes(); });
  }

  constexpr std::optional<CpuPointer> cpu_pointer(Bytes offset) const noexcept
    requires(has_cpu_pointer<Bs> && ...)
  {
    return visit(*this, [&](const auto& b) { return b.cpu_pointer(offset); });
  }
  constexpr std::optional<PhysicalAddress> physical_address(Bytes offset) const noexcept
    requires(has_physical_address<Bs> && ...)
  {
    return visit(*this, [&](const auto& b) { return b.physical_address(offset); });
  }
  constexpr std::optional<DeviceAddress> device_address(Bytes offset) const noexcept
    requires(has_device_address<Bs> && ...)
  {
    return visit(*this, [&](const auto& b) { return b.device_address(offset); });
  }
  constexpr int fd() const noexcept
    requires(has_file<Bs> && ...)
  {
    return visit(*this, [](const auto& b) { return b.fd(); });
  }
  constexpr Bytes file_offset() const noexcept
    requires(has_file<Bs> && ...)
  {
    return visit(*this, [](const auto& b) { return b.file_offset(); });
  }

  constexpr Result<void> commit(Bytes offset, Bytes size) noexcept
    requires(can_commit<Bs> && ...)
  {
    return visit(*this, [&](auto& b) { return b.commit(offset, size); });
  }
  constexpr Result<void> decommit(Bytes offset, Bytes size) noexcept
    requires(can_commit<Bs> && ...)
  {
    return visit(*this, [&](auto& b) { return b.decommit(offset, size); });
  }

  constexpr Result<void> obtain(std::uint64_t slot, Bytes bytes, Bytes align) noexcept
    requires(can_obtain<Bs> && ...)
  {
    return visit(*this, [&](auto& b) { return b.obtain(slot, bytes, align); });
  }
  constexpr void give_back(std::uint64_t slot) noexcept
    requires(can_obtain<Bs> && ...)
  {
    visit(*this, [&](auto& b) { b.give_back(slot); });
  }
  constexpr std::optional<CpuPointer> obtained(std::uint64_t slot) const noexcept
    requires(can_obtain<Bs> && ...)
  {
    return visit(*this, [&](const auto& b) { return b.obtained(slot); });
  }

  // Of those that have a name.
  constexpr Result<void> publish() noexcept
    requires(can_publish<Bs> || ...)
  {
    return visit(*this, [](auto& b) {
      if constexpr (requires { b.publish(); }) return b.publish();
      return Result<void>();
    });
  }
  constexpr bool published() const noexcept
    requires(can_publish<Bs> || ...)
  {
    return visit(*this, [](const auto& b) {
      if constexpr (requires { b.published(); }) return b.published();
      return false;
    });
  }

 private:
  using Members = typename Parts::Members;

  template <std::size_t I, class B>
  static constexpr std::optional<B>& member(detail::CascadeMember<I, B>& member) noexcept {
    return member.made;
  }
  template <std::size_t I, class B>
  static constexpr const std::optional<B>& member(const detail::CascadeMember<I, B>& member) noexcept {
    return member.made;
  }
  template <std::size_t I, class B>
  static constexpr const auto& settings_of(const detail::CascadeSettings<I, B>& settings) noexcept {
    return settings.of;
  }
  template <std::size_t I>
  using Member = typename std::remove_cvref_t<decltype(member<I>(std::declval<Members&>()))>::value_type;

  constexpr explicit Cascade(std::size_t index) noexcept : index_(index) {}

  template <std::size_t I = 0, class Self, class Visitor>
  static constexpr auto visit(Self& self, Visitor&& visitor) noexcept {
    if constexpr (I + 1 < sizeof...(Bs)) {
      if (self.index_ != I) return visit<I + 1>(self, visitor);
    }
    return visitor(*member<I>(self.members_));
  }

  template <std::size_t I, class Given>
  static constexpr Result<Cascade> create_from(const BackingRequest& request, const Given& settings) noexcept {
    auto mine = create_one<I>(request, settings);
    if constexpr (I + 1 < sizeof...(Bs)) {
      if (mine) return mine;
      auto next = create_from<I + 1>(request, settings);
      if (next || mine.error().code == ErrorCode::no_device) return next;
    }
    return mine;
  }
  // When it fails, nothing of it is held while the next one is made.
  template <std::size_t I, class Given>
  static constexpr Result<Cascade> create_one(const BackingRequest& request, const Given& settings) noexcept {
    auto made = ask<Member<I>, I>(request, settings);
    if (!made) return made.error();
    if (const Error error = fault_of(*made, request); error) return error;
    Cascade cascade(I);
    member<I>(cascade.members_) = *std::move(made);
    return cascade;
  }
  template <class B, std::size_t I, class Given>
  static constexpr Result<B> ask(const BackingRequest& request, const Given& settings) noexcept {
    if constexpr (!std::is_same_v<Given, detail::NoSettings>) {
      if constexpr (requires { B::create(request, settings_of<I>(settings)); }) {
        return B::create(request, settings_of<I>(settings));
      } else {
        return B::create(request);
      }
    } else {
      return B::create(request);
    }
  }

  // Why it is not as asked for; code none where it is.
  template <class B>
  static constexpr Error fault_of(B& made, const BackingRequest& request) noexcept {
    const std::uint64_t base = made.base().value();
    const auto wrong = [&](ErrorCode code, std::uint64_t asked, std::uint64_t available) {
      return Error{.code = code, .asked = asked, .available = available, .zone = request.name};
    };
    if (made.size() < request.size) {
      return wrong(ErrorCode::data_too_small, request.size.value(), made.size().value());
    }
    if ((base & (request.granule.value() - 1)) != 0) {
      return wrong(ErrorCode::base_misaligned, base, request.granule.value());
    }
    if (request.size.value() - 1 > ~base) return wrong(ErrorCode::zone_overflow, request.size.value(), ~base);
    if (made.notes().size() < request.notes_words) {
      return wrong(ErrorCode::notes_too_small, request.notes_words, made.notes().size());
    }
    return {};
  }

  Members members_;
  std::size_t index_;
};

}  // namespace freestone::backing
