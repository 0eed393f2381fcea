#include <cstdint>
#include <memory>
#include <vector>

#include "bench/index/policy.h"

namespace faha::bench {
namespace {

// A ring of all that is held, from the newest to the oldest; its head has the number behind the last key.
class Lru final : public Policy {
 public:
  Lru(std::uint64_t capacity, std::uint32_t keys) : capacity_(capacity), head_(keys), links_(keys + 1) {
    links_[head_].next = links_[head_].before = head_;
  }
  bool Access(std::uint32_t key, std::uint32_t bytes) override {
    const bool hit = links_[key].held;
    if (!hit && bytes > capacity_) return false;
    if (hit) {
      Unlink(key);
    } else {
      while (used_ + bytes > capacity_) Drop(links_[head_].before);
      links_[key].bytes = bytes;
      used_ += bytes;
    }
    LinkFirst(key);
    return hit;
  }

 private:
  struct Link {
    std::uint32_t next = 0, before = 0;
    std::uint32_t bytes = 0;
    bool held = false;
  };
  void LinkFirst(std::uint32_t key) {
    Link& head = links_[head_];
    links_[key].before = head_;
    links_[key].next = head.next;
    links_[key].held = true;
    links_[head.next].before = key;
    head.next = key;
  }
  void Unlink(std::uint32_t key) {
    links_[links_[key].before].next = links_[key].next;
    links_[links_[key].next].before = links_[key].before;
    links_[key].held = false;
  }
  void Drop(std::uint32_t key) {
    Unlink(key);
    used_ -= links_[key].bytes;
  }

  const std::uint64_t capacity_;
  const std::uint32_t head_;
  std::vector<Link> links_;
  std::uint64_t used_ = 0;
};

}  // namespace

std::unique_ptr<Policy> MakeLru(std::uint64_t capacity, std::uint32_t keys) {
  return std::make_unique<Lru>(capacity, keys);
}

}  // namespace faha::bench
