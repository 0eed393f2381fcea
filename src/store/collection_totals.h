// What the large collections of an engine take of DRAM, and how many elements they have, those that are being taken
// down included.  Thread: main loop only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory_resource>

namespace faha {

class CollectionTotals final : public std::pmr::memory_resource {
 public:
  // `from` must outlive this.
  explicit CollectionTotals(std::pmr::memory_resource* from) : from_(from) {}

  [[nodiscard]] std::uint64_t bytes() const { return bytes_; }
  std::uint64_t elements = 0;

 private:
  void* do_allocate(std::size_t bytes, std::size_t alignment) override {
    void* memory = from_->allocate(bytes, alignment);
    bytes_ += bytes;
    return memory;
  }
  void do_deallocate(void* memory, std::size_t bytes, std::size_t alignment) override {
    bytes_ -= bytes;
    from_->deallocate(memory, bytes, alignment);
  }
  [[nodiscard]] bool do_is_equal(const memory_resource& other) const noexcept override { return this == &other; }

  std::pmr::memory_resource* from_;
  std::uint64_t bytes_ = 0;
};

}  // namespace faha
