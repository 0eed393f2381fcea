// Large collections as commands see them: the collections of include/faha/collections.h whose elements are records.
// Thread: main loop only.
//
// A list orders its elements by labels, numbers of 64 bits.  A push takes the label of that end and kListStep more or
// less, an insertion the middle between its neighbours.  Where there is no number left between them, elements around
// are given new labels, in the smallest aligned range of labels that is sparse enough: the larger the range, the
// sparser it must be.  So an insertion gives O(log n) elements new labels on average (Bender, Cole, Demaine,
// Farach-Colton, Zito: "Two Simplified Algorithms for Maintaining Order in a List", 2002).
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>

#include "faha/collections.h"
#include "store/engine.h"

namespace faha {

inline constexpr std::uint64_t kFirstListLabel = std::uint64_t{1} << 63;
inline constexpr std::uint64_t kListStep = std::uint64_t{1} << 16;

// Writes elements.  True: the element is new, or was there.  Errors: as Keyspace::Put.
class ElementWriter {
 public:
  virtual ~ElementWriter() = default;
  virtual Result<bool> PutElement(const CollectionId& id, ValueType type, std::string_view subkey,
                                  std::string_view value) = 0;
  virtual Result<bool> EraseElement(const CollectionId& id, std::string_view subkey) = 0;
};

// The collection with that name, which need not have elements yet.  `engine` and `writer` must outlive it.
std::unique_ptr<Collection> ViewLarge(const CollectionId& id, ValueType type, const Engine& engine,
                                      ElementWriter& writer);

}  // namespace faha
