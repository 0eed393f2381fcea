#include "tools/batch_stream.h"

namespace faha {

BatchStream::BatchStream(const Pool& pool, const std::vector<ScannedSegment>& found)
    : pool_(pool), found_(found), sources_(found.size()) {
  for (std::size_t i = 0; i < found.size(); ++i) queue_.emplace(found[i].segment.first, i);
}

void BatchStream::List(std::size_t source) {
  Source& into = sources_[source];
  into.listed = true;
  for (const ScannedBatch& batch : BatchesFrom(pool_, found_[source].segment, Lsn{})) into.batches.push_back(batch.at);
  LogAddress end;
  for (const LogAddress at : found_[source].stray) {
    if (at < end) continue;  // it lies inside the batch before: it is a client's value
    into.batches.push_back(at);
    end = at + BatchView::Trusted(pool_.media().bytes().data() + at.value).PaddedBytes(pool_.geometry().granule);
  }
}

void BatchStream::Queue(std::size_t source) {
  Source& from = sources_[source];
  if (from.at < from.batches.size()) {
    queue_.emplace(BatchView::Trusted(pool_.media().bytes().data() + from.batches[from.at].value).lsn(), source);
  } else {
    from.batches = {};
  }
}

std::optional<StreamedBatch> BatchStream::Next() {
  while (!queue_.empty()) {
    const std::size_t source = queue_.begin()->second;
    queue_.erase(queue_.begin());
    Source& from = sources_[source];
    if (!from.listed) {
      List(source);
      Queue(source);
      continue;
    }
    const LogAddress at = from.batches[from.at++];
    Queue(source);
    const std::byte* bytes = pool_.media().bytes().data() + at.value;
    StreamedBatch next;
    next.batch.view = BatchView::Trusted(bytes);
    next.batch.at = at;
    next.batch.bytes = {bytes, next.batch.view.PaddedBytes(pool_.geometry().granule)};
    const Segment& run = found_[source].segment;
    next.stray = at >= pool_.SegmentStart(run.index) + run.used_bytes;
    next.well_formed = !next.stray || next.batch.view.ForEach([](const Record&, std::uint64_t) {});
    next.follows = next.batch.view.lsn() > last_ && next.batch.view.epoch() >= epoch_;
    if (next.follows) {
      last_ = next.batch.view.lsn();
      epoch_ = next.batch.view.epoch();
    }
    return next;
  }
  return std::nullopt;
}

}  // namespace faha
