#include "log/segment_hold.h"

#include <sys/mman.h>

#include <new>
#include <utility>

#include "base/check.h"

namespace faha {

SegmentHold::SegmentHold(std::vector<Held> order, std::uint32_t segments, std::function<void(const Status&)> lost)
    : order_(std::move(order)), place_(segments), lost_(std::move(lost)) {
  for (std::uint32_t i = 0; i < order_.size(); ++i) place_[order_[i].index] = i + 1;
  void* page = mmap(nullptr, sizeof *word_, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  FAHA_CHECK(page != MAP_FAILED, "there is a page of memory");
  word_ = new (page) std::atomic<std::uint64_t>(0);
}

SegmentHold::~SegmentHold() { munmap(static_cast<void*>(word_), sizeof *word_); }

void SegmentHold::Lose(const Status& why) {
  const std::uint64_t before = word_->fetch_or(kLost, std::memory_order_acq_rel);
  if ((before & kLost) == 0 && before < order_.size()) lost_(why);
}

}  // namespace faha
