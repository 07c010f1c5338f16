// A user's strategy, as `./dev bench --with` takes it: what Bitmap does, under another name and id.
#pragma once

#include <freestone/strategy/bitmap.hpp>

namespace own {

template <class Base, unsigned variant>
class Renamed : public Base {
 public:
  static constexpr std::uint32_t id = freestone::map_id("own::Renamed") ^ variant;

  static constexpr freestone::Result<Renamed> format(std::span<std::uint64_t> words,
                                                     const freestone::Geometry& geometry) noexcept {
    return renamed(Base::format(words, geometry));
  }
  static constexpr freestone::Result<Renamed> attach(std::span<std::uint64_t> words,
                                                     const freestone::Geometry& geometry) noexcept {
    return renamed(Base::attach(words, geometry));
  }

 private:
  constexpr explicit Renamed(const Base& base) noexcept : Base(base) {}

  static constexpr freestone::Result<Renamed> renamed(const freestone::Result<Base>& base) noexcept {
    if (!base) return base.error();
    return Renamed(*base);
  }
};

}  // namespace own
