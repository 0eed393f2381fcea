#include "module/memory.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <unordered_map>

#include "module/state.h"

namespace faha::module {
namespace {

class Resource final : public std::pmr::memory_resource {
  void* do_allocate(std::size_t bytes, std::size_t alignment) override {
    void* plain = RedisModule_Alloc(bytes);
    if (Aligned(plain, alignment)) return plain;
    // jemalloc aligns large blocks by itself.  From another allocator more is taken, and the address that it gave is
    // remembered.
    RedisModule_Free(plain);
    void* given = RedisModule_Alloc(bytes + alignment);
    const auto address = reinterpret_cast<std::uintptr_t>(given);
    void* aligned = static_cast<char*>(given) + (alignment - address % alignment) % alignment;
    if (aligned != given) given_[aligned] = given;
    return aligned;
  }
  void do_deallocate(void* memory, std::size_t, std::size_t) override {
    const auto found = given_.find(memory);
    if (found == given_.end()) {
      RedisModule_Free(memory);
    } else {
      RedisModule_Free(found->second);
      given_.erase(found);
    }
  }
  [[nodiscard]] bool do_is_equal(const memory_resource& other) const noexcept override { return this == &other; }

  static bool Aligned(const void* memory, std::size_t alignment) {
    return reinterpret_cast<std::uintptr_t>(memory) % alignment == 0;
  }
  std::unordered_map<void*, void*> given_;
};

}  // namespace

std::pmr::memory_resource& ServerMemory() {
  static auto* resource = new Resource;  // lives as long as the server: the store gives its memory back last
  return *resource;
}

void TendMemory() {
  // Shares of maxmemory.  The hot tier takes less between two ticks than what is left between these shares and 1.
  constexpr float kFull = 0.95F, kRoomy = 0.85F;
  static bool complained = false;
  const float used = RedisModule_GetUsedMemoryRatio();  // 0: there is no limit
  const std::uint64_t configured = TheState().options.hot_bytes;
  Store& store = *TheState().store;
  std::uint64_t allowed = store.options().hot_bytes;
  if (used > kFull) {
    allowed = std::min(allowed, store.HotUsedBytes()) / 8 * 7;
  } else if (used < kRoomy) {
    allowed = std::min(configured, allowed + configured / 64 + 1);
    complained = false;
  }
  store.Tune([allowed](Options& options) { options.hot_bytes = allowed; });
  if (used <= 1 || store.HotUsedBytes() != 0 || complained) return;
  complained = true;
  Log(LogLevel::kWarning,
      "MAXMEMORY maxmemory is reached, and index and buffers cannot give way: commands that need memory "
      "answer OOM until keys are deleted or maxmemory is raised");
}

}  // namespace faha::module
