#include "module/memory.h"

#include <cstddef>
#include <cstdint>
#include <unordered_map>

#include "module/redis_api.h"

namespace faha::module {
namespace {

class Resource final : public std::pmr::memory_resource {
  void* do_allocate(std::size_t bytes, std::size_t alignment) override {
    void* plain = RedisModule_Alloc(bytes);
    if (Aligned(plain, alignment)) return plain;
    // jemalloc aligns what is large by itself; another allocator is asked for more, and what it gave is remembered.
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
  static auto* resource = new Resource;  // for the life of the server: the store gives its memory back last
  return *resource;
}

}  // namespace faha::module
