// Sizes and times as people write and read them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace freestone::bench {

// 4096, 0x1000, 4K, 4KiB, 64M, 1GiB, 2T: binary multiples, in either case. Empty when it is no size or leaves 64 bits.
std::optional<std::uint64_t> parse_size(std::string_view text);

// A whole decimal number and nothing else.
std::optional<std::uint64_t> parse_number(std::string_view text);

std::string human_bytes(std::uint64_t bytes);                     // 1.25 MiB
std::string human_count(std::uint64_t count);                     // 1,234,567
std::string human_nanoseconds(double time);                       // 38, 4.1k, 1.2M: at most five characters
std::string counted(std::uint64_t count, std::string_view noun);  // 1 block, 2 blocks

}  // namespace freestone::bench
