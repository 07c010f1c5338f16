// Tables of heaps for boards of tests.
#pragma once

#include <string>

namespace freestone::tests {

// A heap of that type, whose addresses are no other id's.
struct HeapText {
  const char* name;
  unsigned id;
  const char* type;
  const char* size;
  const char* granule = nullptr;

  std::string text() const {
    constexpr unsigned long long first = 0x4000'0000, step = 0x1000'0000;
    std::string all = std::string("[[heap]]\nname = \"") + name + "\"\nid = " + std::to_string(id) + "\ntype = \"" + type + "\"\nsize = \"" +
                      size + "\"\n";
    if (granule != nullptr) all += std::string("granule = \"") + granule + "\"\n";
    return all + "base = " + std::to_string(first + id * step) + '\n';
  }
};
template <class... Heaps>
std::string board_of(const Heaps&... heaps) {
  return (heaps.text() + ...);
}

}  // namespace freestone::tests
