// A sequence of log addresses in order, in which a position is found by its number or by its order.  It says where the
// elements of a large sorted set or list are, which are records in the log.  Thread: main loop only.
//
// A B+-tree whose inner nodes count the entries below each child, so that a rank is found, and an entry is inserted or
// erased at a rank, in O(log n).  An entry has a number of 64 bits by which it is ordered: the score of a member or the
// label of an element of a list.  Entries with equal numbers stand in the order that the caller gives them; where two
// of these have to be told apart, the caller is asked, and may have to read a record.
//
// Nodes are split evenly, except at both ends of the sequence: there a full node stays full, and a new one begins.  So
// a list that grows at its ends fills its nodes, and a queue does not move entries between nodes.
//
// Invariants: (1) every leaf has the same depth, and no node is empty.
//             (2) a node that is neither the first nor the last of its depth is at least half full.
//             (3) `least` of a child is not above any order in it; it is not below any order to the left of the child.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory_resource>
#include <utility>

#include "faha/collections.h"
#include "faha/types.h"

namespace faha {

class CountedTree {
 public:
  struct Entry {
    std::uint64_t order = 0;
    LogAddress at;
    bool operator==(const Entry&) const = default;
  };

  // `memory` must outlive the tree.
  explicit CountedTree(std::pmr::memory_resource* memory = std::pmr::get_default_resource()) : memory_(memory) {}
  ~CountedTree() { Clear(); }
  CountedTree(const CountedTree&) = delete;
  CountedTree& operator=(const CountedTree&) = delete;

  [[nodiscard]] std::uint64_t Size() const { return size_; }
  [[nodiscard]] std::size_t MemoryBytes() const { return bytes_; }

  // How many entries stand before a position: those of a lower order, and those of this order for which before(at) is
  // true.  Of all entries of this order, those for which it is true must come first.
  template <typename Before>
  [[nodiscard]] std::uint64_t CountBefore(std::uint64_t order, Before before) const;
  // The entry at `rank`, which must exist.
  [[nodiscard]] Entry At(std::uint64_t rank) const;
  // The first and the last entry; there must be one.
  [[nodiscard]] const Entry& First() const { return first_->entries[0]; }
  [[nodiscard]] const Entry& Last() const { return last_->entries[last_->count - 1]; }
  // Inserts before the entry that is at `rank` now, or at the end if rank is Size().  The orders must stay sorted.
  void Insert(std::uint64_t rank, Entry entry);
  // Removes the entry at `rank`, which must exist, and returns it.
  Entry Erase(std::uint64_t rank);
  // Says that the record of the entry at `rank` is at `to` now.
  void Move(std::uint64_t rank, LogAddress to);
  // Calls visit(Entry) for the ranks `first` to `last`, both included, from `first` on or from `last` back, until it
  // returns false.  Ranks that do not exist are left out.  `visit` must not change the tree.
  template <typename Visit>
  void ForEach(std::uint64_t first, std::uint64_t last, Order order, Visit visit) const;

  // Removes some entries from the end, and calls dead(Entry) for each.  False when nothing is left.
  template <typename Dead>
  bool TakeDown(Dead dead);
  void Clear();

  // For tests: ends the process if an invariant does not hold.
  void CheckInvariants() const;

 private:
  // Both kinds of node have about 1 KiB.
  static constexpr std::uint32_t kLeafEntries = 62;
  static constexpr std::uint32_t kInnerChildren = 42;
  static constexpr int kMaxHeight = 14;  // 21^13 leaves

  struct Leaf {
    Leaf* before = nullptr;
    Leaf* behind = nullptr;
    std::uint32_t count = 0;
    std::array<Entry, kLeafEntries> entries;
  };
  struct Child {
    std::uint64_t least = 0;
    std::uint64_t size = 0;  // entries in it
    void* node = nullptr;    // an Inner; at the lowest level a Leaf
  };
  struct Inner {
    std::uint32_t count = 0;
    std::array<Child, kInnerChildren> children;
  };
  // The way from the root to a leaf.  steps[0] is the lowest inner node.
  struct Step {
    Inner* node = nullptr;
    std::uint32_t child = 0;
    bool first = false, last = false;  // is `node` the first or the last one of its depth?
  };
  using Path = std::array<Step, kMaxHeight>;

  // The leaf that holds `rank`, and how many entries of that leaf stand before it.
  [[nodiscard]] std::pair<Leaf*, std::uint32_t> LeafAt(std::uint64_t rank) const;
  [[nodiscard]] Entry First(const Child& child, int level) const;
  // In an inner node of `level`: the child in which the position that CountBefore() looks for is.
  template <typename Before>
  [[nodiscard]] std::uint32_t ChildAt(const Inner& inner, int level, std::uint64_t order, Before before) const;

  Leaf* NewLeaf(Leaf* before, Leaf* behind);
  void FreeLeaf(Leaf* leaf);
  Inner* NewInner();
  void FreeInner(Inner* inner);
  void Free(void* node, int level);

  static void InsertAt(Leaf& leaf, std::uint32_t at, Entry entry);
  static void InsertAt(Inner& inner, std::uint32_t at, Child child);
  static void MoveOver(Leaf& left, Leaf& right, std::uint32_t kept);
  static void MoveOver(Inner& left, Inner& right, std::uint32_t kept);
  static Child Described(Leaf* leaf);
  static Child Described(Inner* inner);
  Leaf* SplitLeaf(Leaf* leaf, std::uint32_t at, Entry entry);
  void AddBehind(Path& path, int level, Child left, Child added);
  void GrowRoot(Child left, Child right);
  void RemoveChild(Path& path, int level, std::uint32_t at);
  template <typename Node>
  bool Balance(Inner& parent, std::uint32_t left, std::uint32_t capacity);
  void DropNode(Leaf* leaf) { FreeLeaf(leaf); }
  void DropNode(Inner* inner) { FreeInner(inner); }

  void CheckNode(const void* node, int level, bool first, bool last, std::uint64_t size, const Leaf*& before) const;

  std::pmr::memory_resource* memory_;
  void* root_ = nullptr;  // none: the tree is empty
  Leaf* first_ = nullptr;
  Leaf* last_ = nullptr;
  int height_ = 0;  // inner nodes above a leaf
  std::uint64_t size_ = 0;
  std::size_t bytes_ = 0;
};

// `least` decides, unless it equals `order`: then the child's first entry does.
template <typename Before>
std::uint32_t CountedTree::ChildAt(const Inner& inner, int level, std::uint64_t order, Before before) const {
  std::uint32_t child = 0, ties = 1;
  while (ties < inner.count && inner.children[ties].least <= order) {
    if (inner.children[ties].least < order) child = ties;
    ++ties;
  }
  while (child + 1 < ties) {
    const std::uint32_t middle = (child + ties) / 2;
    const Entry first = First(inner.children[middle], level);
    if (first.order == order && before(first.at)) {
      child = middle;
    } else {
      ties = middle;
    }
  }
  return child;
}

template <typename Before>
std::uint64_t CountedTree::CountBefore(std::uint64_t order, Before before) const {
  if (root_ == nullptr) return 0;
  std::uint64_t rank = 0;
  const void* node = root_;
  for (int level = height_; level > 0; --level) {
    const auto& inner = *static_cast<const Inner*>(node);
    const std::uint32_t child = ChildAt(inner, level, order, before);
    for (std::uint32_t i = 0; i < child; ++i) rank += inner.children[i].size;
    node = inner.children[child].node;
  }
  const auto& leaf = *static_cast<const Leaf*>(node);
  std::uint32_t low = 0, high = leaf.count;
  while (low < high) {
    const std::uint32_t middle = (low + high) / 2;
    const Entry& entry = leaf.entries[middle];
    if (entry.order < order || (entry.order == order && before(entry.at))) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return rank + low;
}

template <typename Visit>
void CountedTree::ForEach(std::uint64_t first, std::uint64_t last, Order order, Visit visit) const {
  if (first > last || first >= size_) return;
  if (last >= size_) last = size_ - 1;
  std::uint64_t left = last - first + 1;
  if (order == Order::kForward) {
    for (auto [leaf, at] = LeafAt(first); left > 0; leaf = leaf->behind, at = 0) {
      for (; at < leaf->count && left > 0; ++at, --left) {
        if (!visit(leaf->entries[at])) return;
      }
    }
  } else {
    auto [leaf, at] = LeafAt(last);
    while (visit(leaf->entries[at]) && --left > 0) {
      if (at == 0) {
        leaf = leaf->before;
        at = leaf->count;
      }
      --at;
    }
  }
}

template <typename Dead>
bool CountedTree::TakeDown(Dead dead) {
  for (std::uint32_t i = 0; i < kLeafEntries && size_ > 0; ++i) dead(Erase(size_ - 1));
  return size_ > 0;
}

}  // namespace faha
