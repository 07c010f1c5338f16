// Platforms for the laws: the smallest legal one, an unpleasant one, and one for each way to be wrong.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include <freestone/core/platform.hpp>

namespace freestone::tests {

// A process whose memory is 64 bytes from address 0x1000 on, and who sees one block at a time.
class MinimalPlatform {
 public:
  static constexpr std::uint64_t memory_start = 0x1000;
  struct Mapping {
    std::optional<Block> block = {};
  };

  Result<void> copy_in(std::span<std::byte> to, std::uint64_t user) noexcept {
    if (!is_memory(user, to.size())) return ErrorCode::os_failure;
    std::copy_n(at(user), to.size(), to.begin());
    return {};
  }
  Result<void> copy_out(std::uint64_t user, std::span<const std::byte> from) noexcept {
    if (!is_memory(user, from.size())) return ErrorCode::os_failure;
    std::copy(from.begin(), from.end(), at(user));
    return {};
  }
  Result<void> map(Mapping& mapping, Block block) noexcept {
    if (mapped_ != nullptr) return ErrorCode::out_of_memory;
    mapping.block = block;
    mapped_ = &mapping;
    return {};
  }
  void revoke(Block block) noexcept {
    if (mapped_ == nullptr || mapped_->block != block) return;
    mapped_->block.reset();
    mapped_ = nullptr;
  }
  int process() noexcept { return 1; }
  void log(const char*) noexcept {}

 protected:
  bool is_memory(std::uint64_t user, std::size_t bytes) const noexcept {
    return user >= memory_start && user - memory_start <= memory_.size() &&
           bytes <= memory_.size() - (user - memory_start);
  }
  std::byte* at(std::uint64_t user) noexcept { return memory_.data() + (user - memory_start); }

  std::array<std::byte, 64> memory_{};
  Mapping* mapped_ = nullptr;
};

// Legal and unpleasant: a copy that will fault copies what it can first, and a process is a record.
class HostilePlatform : public MinimalPlatform {
 public:
  struct Process {
    std::uint64_t number;
    std::uint64_t born;
    bool operator==(const Process&) const = default;
  };
  Result<void> copy_in(std::span<std::byte> to, std::uint64_t user) noexcept {
    for (std::size_t i = 0; i < to.size(); ++i) {
      if (const auto copied = MinimalPlatform::copy_in(to.subspan(i, 1), user + i); !copied) return copied;
    }
    return {};
  }
  Result<void> copy_out(std::uint64_t user, std::span<const std::byte> from) noexcept {
    for (std::size_t i = 0; i < from.size(); ++i) {
      if (const auto copied = MinimalPlatform::copy_out(user + i, from.subspan(i, 1)); !copied) return copied;
    }
    return {};
  }
  Process process() noexcept { return {7, 11}; }
};

// --- Each breaks one law. ---

class CopiesTheWrongWay : public MinimalPlatform {
 public:
  Result<void> copy_out(std::uint64_t user, std::span<const std::byte> from) noexcept {
    std::array<std::byte, 64> dropped;
    return copy_in(std::span(dropped).first(from.size()), user);
  }
};

class HidesFaults : public MinimalPlatform {
 public:
  Result<void> copy_in(std::span<std::byte> to, std::uint64_t user) noexcept {
    static_cast<void>(MinimalPlatform::copy_in(to, user));
    return {};
  }
};

class RevokesNothing : public MinimalPlatform {
 public:
  void revoke(Block) noexcept {}
};

class NobodyIsHimself : public MinimalPlatform {
 public:
  int process() noexcept { return ++calls_; }

 private:
  int calls_ = 0;
};

}  // namespace freestone::tests
