#include "collections/counted_tree.h"

#include <algorithm>
#include <new>
#include <type_traits>

#include "base/check.h"

namespace faha {

// --- Reading.

std::pair<CountedTree::Leaf*, std::uint32_t> CountedTree::LeafAt(std::uint64_t rank) const {
  FAHA_CHECK(rank < size_, "the entry exists");
  // A queue asks for nothing but its ends.
  if (rank < first_->count) return {first_, static_cast<std::uint32_t>(rank)};
  const std::uint64_t behind = size_ - rank;
  if (behind <= last_->count) return {last_, static_cast<std::uint32_t>(last_->count - behind)};
  void* node = root_;
  for (int level = height_; level > 0; --level) {
    const Child* child = static_cast<const Inner*>(node)->children.data();
    for (; rank >= child->size; ++child) rank -= child->size;
    node = child->node;
  }
  return {static_cast<Leaf*>(node), static_cast<std::uint32_t>(rank)};
}

CountedTree::Entry CountedTree::First(const Child& child, int level) const {
  const void* node = child.node;
  while (--level > 0) node = static_cast<const Inner*>(node)->children[0].node;
  return static_cast<const Leaf*>(node)->entries[0];
}

CountedTree::Entry CountedTree::At(std::uint64_t rank) const {
  const auto [leaf, at] = LeafAt(rank);
  return leaf->entries[at];
}

void CountedTree::Move(std::uint64_t rank, LogAddress to) {
  const auto [leaf, at] = LeafAt(rank);
  leaf->entries[at].at = to;
}

// --- Nodes.

CountedTree::Leaf* CountedTree::NewLeaf(Leaf* before, Leaf* behind) {
  bytes_ += sizeof(Leaf);
  auto* leaf = new (memory_->allocate(sizeof(Leaf), alignof(Leaf))) Leaf;
  leaf->before = before;
  leaf->behind = behind;
  (before != nullptr ? before->behind : first_) = leaf;
  (behind != nullptr ? behind->before : last_) = leaf;
  return leaf;
}

void CountedTree::FreeLeaf(Leaf* leaf) {
  (leaf->before != nullptr ? leaf->before->behind : first_) = leaf->behind;
  (leaf->behind != nullptr ? leaf->behind->before : last_) = leaf->before;
  memory_->deallocate(leaf, sizeof(Leaf), alignof(Leaf));
  bytes_ -= sizeof(Leaf);
}

CountedTree::Inner* CountedTree::NewInner() {
  bytes_ += sizeof(Inner);
  return new (memory_->allocate(sizeof(Inner), alignof(Inner))) Inner;
}

void CountedTree::FreeInner(Inner* inner) {
  memory_->deallocate(inner, sizeof(Inner), alignof(Inner));
  bytes_ -= sizeof(Inner);
}

void CountedTree::Free(void* node, int level) {
  if (level == 0) return FreeLeaf(static_cast<Leaf*>(node));
  auto* inner = static_cast<Inner*>(node);
  for (std::uint32_t i = 0; i < inner->count; ++i) Free(inner->children[i].node, level - 1);
  FreeInner(inner);
}

void CountedTree::Clear() {
  if (root_ != nullptr) Free(root_, height_);
  root_ = nullptr;
  height_ = 0;
  size_ = 0;
}

void CountedTree::InsertAt(Leaf& leaf, std::uint32_t at, Entry entry) {
  std::move_backward(leaf.entries.begin() + at, leaf.entries.begin() + leaf.count,
                     leaf.entries.begin() + leaf.count + 1);
  leaf.entries[at] = entry;
  ++leaf.count;
}

void CountedTree::InsertAt(Inner& inner, std::uint32_t at, Child child) {
  std::move_backward(inner.children.begin() + at, inner.children.begin() + inner.count,
                     inner.children.begin() + inner.count + 1);
  inner.children[at] = child;
  ++inner.count;
}

namespace {
// Shifts what two neighbours hold so that the left one has `kept`.
template <typename Array>
void Shift(Array& left, std::uint32_t& left_count, Array& right, std::uint32_t& right_count, std::uint32_t kept) {
  if (kept < left_count) {
    const std::uint32_t moved = left_count - kept;
    std::move_backward(right.begin(), right.begin() + right_count, right.begin() + right_count + moved);
    std::move(left.begin() + kept, left.begin() + left_count, right.begin());
    right_count += moved;
  } else {
    const std::uint32_t moved = kept - left_count;
    std::move(right.begin(), right.begin() + moved, left.begin() + left_count);
    std::move(right.begin() + moved, right.begin() + right_count, right.begin());
    right_count -= moved;
  }
  left_count = kept;
}
}  // namespace

void CountedTree::MoveOver(Leaf& left, Leaf& right, std::uint32_t kept) {
  Shift(left.entries, left.count, right.entries, right.count, kept);
}

void CountedTree::MoveOver(Inner& left, Inner& right, std::uint32_t kept) {
  Shift(left.children, left.count, right.children, right.count, kept);
}

CountedTree::Child CountedTree::Described(Leaf* leaf) { return {leaf->entries[0].order, leaf->count, leaf}; }

CountedTree::Child CountedTree::Described(Inner* inner) {
  std::uint64_t size = 0;
  for (std::uint32_t i = 0; i < inner->count; ++i) size += inner->children[i].size;
  return {inner->children[0].least, size, inner};
}

// --- Inserting.

// Inserts into a full leaf, which keeps the front part.  Returns the new leaf behind it.
CountedTree::Leaf* CountedTree::SplitLeaf(Leaf* leaf, std::uint32_t at, Entry entry) {
  std::uint32_t kept = kLeafEntries / 2;
  if (leaf->behind == nullptr && at == leaf->count) {
    kept = leaf->count;
  } else if (leaf->before == nullptr && at == 0) {
    kept = 0;
  }
  Leaf* added = NewLeaf(leaf, leaf->behind);
  MoveOver(*leaf, *added, kept);
  if (at < kept || kept == 0) {
    InsertAt(*leaf, at, entry);
  } else {
    InsertAt(*added, at - kept, entry);
  }
  return added;
}

void CountedTree::GrowRoot(Child left, Child right) {
  Inner* root = NewInner();
  root->children[0] = left;
  root->children[1] = right;
  root->count = 2;
  root_ = root;
  ++height_;
  FAHA_CHECK(height_ < kMaxHeight, "the tree is not higher than memory allows");
}

// The node that the path leads to at `level` was split into `left`, which is in its place, and `added`.
void CountedTree::AddBehind(Path& path, int level, Child left, Child added) {
  if (level == height_) return GrowRoot(left, added);
  Inner* inner = path[level].node;
  const std::uint32_t child = path[level].child;
  left.least = std::min(left.least, inner->children[child].least);
  inner->children[child] = left;
  if (inner->count < kInnerChildren) return InsertAt(*inner, child + 1, added);
  std::uint32_t kept = kInnerChildren / 2;
  if (path[level].last && child + 1 == inner->count) {
    kept = inner->count;
  } else if (path[level].first && child == 0) {
    kept = 1;
  }
  Inner* right = NewInner();
  MoveOver(*inner, *right, kept);
  if (child + 1 < kept) {
    InsertAt(*inner, child + 1, added);
  } else {
    InsertAt(*right, child + 1 - kept, added);
  }
  AddBehind(path, level + 1, Described(inner), Described(right));
}

void CountedTree::Insert(std::uint64_t rank, Entry entry) {
  FAHA_CHECK(rank <= size_, "the position exists");
  ++size_;
  if (root_ == nullptr) root_ = NewLeaf(nullptr, nullptr);
  Path path;
  void* node = root_;
  bool first = true, last = true;
  for (int level = height_; level > 0; --level) {
    auto* inner = static_cast<Inner*>(node);
    std::uint32_t child = 0;
    // Between two children the entry belongs where `least` says.
    const auto is_behind = [&] {
      const std::uint64_t size = inner->children[child].size;
      return rank > size || (rank == size && entry.order > inner->children[child + 1].least);
    };
    while (child + 1 < inner->count && is_behind()) rank -= inner->children[child++].size;
    path[level - 1] = {inner, child, first, last};
    first = first && child == 0;
    last = last && child + 1 == inner->count;
    Child& into = inner->children[child];
    into.least = std::min(into.least, entry.order);
    ++into.size;
    node = into.node;
  }
  auto* leaf = static_cast<Leaf*>(node);
  const auto at = static_cast<std::uint32_t>(rank);
  if (leaf->count < kLeafEntries) return InsertAt(*leaf, at, entry);
  Leaf* added = SplitLeaf(leaf, at, entry);
  AddBehind(path, 0, Described(leaf), Described(added));
}

// --- Erasing.

// Two neighbours, of which one is less than half full, become one if they fit, or else share what they hold.  True: the
// right one is gone, and its place in the parent must go.
template <typename Node>
bool CountedTree::Balance(Inner& parent, std::uint32_t left, std::uint32_t capacity) {
  Child& first = parent.children[left];
  Child& second = parent.children[left + 1];
  auto* from = static_cast<Node*>(first.node);
  auto* to = static_cast<Node*>(second.node);
  // What is said of the second node holds for its first child, too, and that child may be about to leave it.
  if constexpr (std::is_same_v<Node, Inner>) to->children[0].least = second.least;
  const std::uint32_t both = from->count + to->count;
  if (both <= capacity) {
    MoveOver(*from, *to, both);
    first.size += second.size;
    DropNode(to);
    return true;
  }
  MoveOver(*from, *to, both / 2);
  first.size = Described(from).size;
  second = Described(to);
  return false;
}

// Removes a child, whose node is gone, from the inner node that the path leads to at `level`.
void CountedTree::RemoveChild(Path& path, int level, std::uint32_t at) {
  Inner* inner = path[level].node;
  std::move(inner->children.begin() + at + 1, inner->children.begin() + inner->count, inner->children.begin() + at);
  --inner->count;
  if (level + 1 == height_) {
    if (inner->count > 1) return;
    root_ = inner->count == 0 ? nullptr : inner->children[0].node;
    FreeInner(inner);
    --height_;
    // What was an end of its depth, with few children, may be the only one now.
    while (height_ > 0 && static_cast<Inner*>(root_)->count == 1) {
      auto* only = static_cast<Inner*>(root_);
      root_ = only->children[0].node;
      FreeInner(only);
      --height_;
    }
    if (root_ == nullptr) height_ = 0;
    return;
  }
  Inner* parent = path[level + 1].node;
  const std::uint32_t child = path[level + 1].child;
  if (inner->count == 0) {
    FreeInner(inner);
    return RemoveChild(path, level + 1, child);
  }
  const bool may_be_small = path[level].first || path[level].last;
  if (may_be_small || inner->count >= kInnerChildren / 2 || parent->count < 2) return;
  const std::uint32_t left = child > 0 ? child - 1 : 0;
  if (Balance<Inner>(*parent, left, kInnerChildren)) RemoveChild(path, level + 1, left + 1);
}

CountedTree::Entry CountedTree::Erase(std::uint64_t rank) {
  FAHA_CHECK(rank < size_, "the entry exists");
  --size_;
  Path path;
  void* node = root_;
  bool first = true, last = true;
  for (int level = height_; level > 0; --level) {
    auto* inner = static_cast<Inner*>(node);
    std::uint32_t child = 0;
    while (rank >= inner->children[child].size) rank -= inner->children[child++].size;
    path[level - 1] = {inner, child, first, last};
    first = first && child == 0;
    last = last && child + 1 == inner->count;
    --inner->children[child].size;
    node = inner->children[child].node;
  }
  auto* leaf = static_cast<Leaf*>(node);
  const Entry erased = leaf->entries[rank];
  std::move(leaf->entries.begin() + rank + 1, leaf->entries.begin() + leaf->count, leaf->entries.begin() + rank);
  --leaf->count;
  if (leaf->count == 0) {
    FreeLeaf(leaf);
    if (height_ == 0) {
      root_ = nullptr;
    } else {
      RemoveChild(path, 0, path[0].child);
    }
    return erased;
  }
  const bool may_be_small = leaf->before == nullptr || leaf->behind == nullptr;
  if (may_be_small || leaf->count >= kLeafEntries / 2 || path[0].node->count < 2) return erased;
  const std::uint32_t left = path[0].child > 0 ? path[0].child - 1 : 0;
  if (Balance<Leaf>(*path[0].node, left, kLeafEntries)) RemoveChild(path, 0, left + 1);
  return erased;
}

// --- For tests.

void CountedTree::CheckNode(const void* node, int level, bool first, bool last, std::uint64_t size,
                            const Leaf*& before) const {
  if (level == 0) {
    const auto* leaf = static_cast<const Leaf*>(node);
    FAHA_CHECK(leaf->count == size && leaf->count > 0, "a leaf has the entries that are counted");
    FAHA_CHECK(first || last || leaf->count >= kLeafEntries / 2, "a leaf that is not at an end is half full");
    FAHA_CHECK(leaf->before == before, "each leaf knows the one before it");
    FAHA_CHECK(before == nullptr || before->behind == leaf, "each leaf knows the one behind it");
    const bool sorted = std::is_sorted(leaf->entries.begin(), leaf->entries.begin() + leaf->count,
                                       [](const Entry& one, const Entry& other) { return one.order < other.order; });
    FAHA_CHECK(sorted, "the orders are sorted");
    before = leaf;
    return;
  }
  const auto* inner = static_cast<const Inner*>(node);
  FAHA_CHECK(inner->count > 0, "an inner node has children");
  FAHA_CHECK(first || last || inner->count >= kInnerChildren / 2, "an inner node that is not at an end is half full");
  std::uint64_t sum = 0;
  for (std::uint32_t i = 0; i < inner->count; ++i) {
    const Child& child = inner->children[i];
    sum += child.size;
    FAHA_CHECK(First(child, level).order >= child.least, "no order is below what its parent says");
    FAHA_CHECK(before == nullptr || before->entries[before->count - 1].order <= child.least,
               "no order to the left is above what the parent says");
    CheckNode(child.node, level - 1, first && i == 0, last && i + 1 == inner->count, child.size, before);
  }
  FAHA_CHECK(sum == size, "an inner node has the entries that are counted");
}

void CountedTree::CheckInvariants() const {
  FAHA_CHECK((root_ == nullptr) == (size_ == 0), "there is a root if there are entries");
  if (root_ == nullptr) return;
  const Leaf* before = nullptr;
  CheckNode(root_, height_, true, true, size_, before);
  FAHA_CHECK(before->behind == nullptr && before == last_, "the last leaf is the last");
  FAHA_CHECK(first_->before == nullptr && First() == At(0), "the first leaf is the first");
}

}  // namespace faha
