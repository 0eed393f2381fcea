// What sysfs says, and what follows from it.
#include "pmem/detect.h"

#include <gtest/gtest.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

namespace faha {
namespace {

namespace fs = std::filesystem;

// A tree that looks like /sys on a machine with NVDIMMs.
class FakeSysfs : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = (fs::temp_directory_path() / "faha-sysfs-XXXXXX").string();
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    root_ = fs::canonical(name);
  }
  void TearDown() override { fs::remove_all(root_); }

  void File(const std::string& path, const std::string& text) const {
    fs::create_directories((root_ / path).parent_path());
    std::ofstream(root_ / path) << text << "\n";
  }
  // The entry of /sys/dev for a device whose folder is `folder`.
  void Device(const std::string& entry, const std::string& folder) const {
    fs::create_directories(root_ / folder);
    fs::create_directories((root_ / "dev" / entry).parent_path());
    fs::create_symlink(root_ / folder, root_ / "dev" / entry);
  }
  fs::path root_;
};

TEST_F(FakeSysfs, ADeviceLiesOnTheRegionAboveIt) {
  const std::string nfit = "devices/acpi/ndbus0/";
  File(nfit + "provider", "ACPI.NFIT");
  File(nfit + "region0/persistence_domain", "memory_controller");
  File(nfit + "region1/persistence_domain", "cpu_cache");
  Device("block/259:0", nfit + "region0/namespace0.0/block/pmem0");
  Device("block/259:1", nfit + "region1/pfn1.1/block/pmem1/pmem1p1");
  Device("char/252:7", nfit + "region2/dax2.0/dax2.0");
  Device("block/259:2", "devices/pci/virtio3/ndbus1/region3/namespace3.0/block/pmem3");
  File("devices/pci/virtio3/ndbus1/provider", "virtio3");
  Device("block/8:1", "devices/pci/region9/sda/sda1");

  const auto first = RegionOf(root_, false, makedev(259, 0));
  ASSERT_TRUE(first);
  EXPECT_EQ(first->name, "region0");
  EXPECT_EQ(first->persistence, "memory_controller");
  EXPECT_FALSE(first->asynchronous);
  EXPECT_EQ(RegionOf(root_, false, makedev(259, 1))->persistence, "cpu_cache");
  const auto silent = RegionOf(root_, true, makedev(252, 7));
  ASSERT_TRUE(silent);
  EXPECT_EQ(silent->name, "region2");
  EXPECT_EQ(silent->persistence, "");
  EXPECT_TRUE(RegionOf(root_, false, makedev(259, 2))->asynchronous);
  EXPECT_FALSE(RegionOf(root_, false, makedev(8, 1))) << "not on the bus of NVDIMMs";
  EXPECT_FALSE(RegionOf(root_, true, makedev(259, 0))) << "a block device is no character device";
  EXPECT_FALSE(RegionOf(root_ / "nowhere", false, makedev(259, 0)));
}

TEST_F(FakeSysfs, ADeviceDaxIsACharacterDeviceWithASize) {
  Device("char/252:0", "devices/ndbus0/region0/dax0.0");
  File("devices/ndbus0/region0/dax0.0/size", "98566144");
  Device("char/1:3", "devices/virtual/mem/null");
  EXPECT_EQ(DeviceDaxBytes(root_, makedev(252, 0)), 98566144U);
  EXPECT_FALSE(DeviceDaxBytes(root_, makedev(1, 3)));
  EXPECT_FALSE(DeviceDaxBytes(root_, makedev(9, 9)));
}

// Every row of the table in detect.h, by all its inputs.
TEST(DetectDomain, TheTableIsComplete) {
  const NvdimmRegion flushed{"region0", "memory_controller", false};
  const NvdimmRegion silent{"region0", "", false};
  const NvdimmRegion cached{"region0", "cpu_cache", false};
  const NvdimmRegion remote{"region0", "", true};
  using D = PersistenceDomain;
  struct Row {
    std::optional<NvdimmRegion> region;
    D refused, granted, device;
  };
  const Row rows[] = {{std::nullopt, D::kPage, D::kCacheLine, D::kVolatile},
                      {flushed, D::kPage, D::kCacheLine, D::kCacheLine},
                      {silent, D::kPage, D::kCacheLine, D::kCacheLine},
                      {cached, D::kPage, D::kCpuCache, D::kCpuCache},
                      {remote, D::kPage, D::kCacheLine, D::kVolatile}};
  for (const Row& row : rows) {
    const std::string name = row.region ? row.region->persistence : "no region";
    EXPECT_EQ(DetectDomain({MediumKind::kFile, false, row.region}).domain, row.refused) << name;
    EXPECT_EQ(DetectDomain({MediumKind::kFile, true, row.region}).domain, row.granted) << name;
    for (const bool sync : {false, true}) {
      EXPECT_EQ(DetectDomain({MediumKind::kDeviceDax, sync, row.region}).domain, row.device) << name;
      EXPECT_EQ(DetectDomain({MediumKind::kMemoryFile, sync, row.region}).domain, D::kVolatile) << name;
    }
  }
}

}  // namespace
}  // namespace faha
