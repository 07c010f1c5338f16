#include <freestone/device/ion/heap_ids.hpp>

#include <cstdint>
#include <iterator>
#include <set>
#include <string_view>

#include <doctest/doctest.h>

using namespace freestone::device;

namespace {

// The specification's row of ids, and of names (ION 2.1).
struct Listed {
  unsigned id;
  unsigned number;
  std::string_view name;
};
constexpr Listed listed[] = {
    {msm_heap::cp_mm, 8, "mm"},           {msm_heap::cp_mfc, 12, "mfc"},
    {msm_heap::cp_wb, 16, "wb"},          {msm_heap::camera, 20, "camera_preview"},
    {msm_heap::system_contig, 21, "kmalloc"}, {msm_heap::adsp, 22, ""},
    {msm_heap::pil1, 23, ""},             {msm_heap::sf, 24, "sf"},
    {msm_heap::iommu, 25, "iommu"},       {msm_heap::pil2, 26, ""},
    {msm_heap::qsecom, 27, "qsecom"},     {msm_heap::audio, 28, "audio"},
    {msm_heap::mm_firmware, 29, "mm_fw"}, {msm_heap::system, 30, "vmalloc"},
};

}  // namespace

TEST_CASE("heaps have the ids and names that programs and boards know them by") {
  std::set<unsigned> ids;
  for (const Listed& one : listed) {
    CHECK(one.id == one.number);
    CHECK(msm_heap::name(one.id) == one.name);
    CHECK(msm_heap::bit(one.id) == std::uint64_t{1} << one.number);
    ids.insert(one.id);
  }
  CHECK(ids.size() == std::size(listed));
  for (unsigned id = 0; id < 70; ++id) {
    if (ids.count(id) == 0) CHECK(msm_heap::name(id) == std::string_view());
  }
  CHECK(msm_heap::system_of_3_10 == 25);
  CHECK(msm_heap::secure == 0x80000000);
}
