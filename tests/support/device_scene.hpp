// A board's heaps as devices have them, for the tests of device/.
#pragma once

#include <string_view>

#include <freestone/heap/os/board_toml.hpp>
#include <freestone/share/device.hpp>

#include "support/device_calls.hpp"
#include "support/device_scene_over.hpp"

namespace freestone::tests {

inline constexpr ShareLimits scene_limits{.clients = 8, .owners = 4, .buffers = 64, .handles = 8, .blocks = 64};

struct DeviceScene : SceneOver<DevicePlatform, scene_limits> {
  explicit DeviceScene(std::string_view toml, Freeing freeing = Freeing::at_once) : SceneOver(*read_toml(toml), freeing) {}
};

}  // namespace freestone::tests
