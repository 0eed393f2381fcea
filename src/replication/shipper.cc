#include "replication/shipper.h"

#include <algorithm>

#include "replication/wire.h"

namespace faha {

void Shipper::PumpSlice(Epoch epoch, Lsn committed, std::size_t depth, MonoTime now, bool busy,
                        std::uint64_t log_bytes) {
  // Bytes that the socket does not take at once would be copied into a queue, so nothing is posted while there are any.
  if (!pace_.MaySend(now, busy, posted_bytes_, log_bytes) || fabric_->QueuedBytes(data_) > 0) {
    pace_.UnderWay(!in_flight_.empty());
    return;
  }
  const std::uint64_t slice = busy ? std::max(kBusySliceBytes, pace_.Owed(posted_bytes_, log_bytes)) : kSliceBytes;
  Pump(epoch, committed, depth, slice);
  pace_.UnderWay(!in_flight_.empty());
}

void Shipper::Pump(Epoch epoch, Lsn committed, std::size_t depth, std::uint64_t bytes) {
  if (data_ == LinkId::kNone) return;
  const std::uint64_t limit = std::min(acked_bytes_ + kWindowBytes, posted_bytes_ + bytes);
  while (posted_bytes_ < limit && in_flight_.size() < depth) {
    const auto batch = reader_->Peek();
    if (!batch) return;
    // The device may place the bytes before the receiver's processor knows of them, so the receiver must first have
    // applied the batch that freed the place.  If that batch is in a gap, it is enough that the receiver has applied
    // all that it was given: it was never given what a batch in the gap freed.
    const Lsn needed = std::min(batch->reused_after, posted_);
    if (needed > std::max(applied_, terms_.released_through)) {
      if (told_ < needed) {
        told_ = reader_->Committed();
        fabric_->Send(data_, wire::Encode(wire::Committed{epoch, told_}));
      }
      return;
    }
    if (batch->lsn != posted_.Next() || (!whole_ && !whole_at_)) SendGap(epoch);
    // A batch that is placed needs no message: its link stands for the epoch, its place is its address, and its header
    // names what was committed when the batch was sealed.  While the receiver's log is not whole, its processor must
    // first give up what a gap has taken away, so nothing is placed then.
    const bool placed = whole_ && fabric_->Place(data_, batch->bytes, batch->at.value);
    if (placed) {
      ++placed_;
    } else {
      fabric_->Send(data_, wire::Encode(wire::Batch{epoch, batch->at, committed}), batch->bytes);
    }
    reader_->Take();
    posted_ = batch->lsn;
    posted_bytes_ += batch->bytes.size();
    in_flight_.push_back({posted_, posted_bytes_, placed_, !placed || batch->opens_segment});
  }
}

// Cleaning goes on while the log is shipped, and it may take away the batches that come next: at the beginning, on the
// way, and also from a receiver whose log was whole but that is slower than the cleaner.  The gap may hide that a
// segment was freed which the receiver has been given, so the receiver is told which segments there are now.  Its log
// is whole again only later.
void Shipper::SendGap(Epoch epoch) {
  before_gap_ = whole_through();
  whole_ = in_sync = false;
  whole_at_ = reader_->WholeAt();
  const auto generations = reader_->Generations();
  fabric_->Send(data_, wire::Encode(wire::Gap{epoch, *whole_at_}), std::as_bytes(std::span(generations)));
}

// The batch that makes the log whole lies behind all batches that were posted when the gap was announced.  So a
// receiver that has this batch has seen the announcement.
bool Shipper::OnAck(Lsn durable, Lsn applied) {
  if (durable > posted_) return false;
  applied_ = std::max(applied_, applied);
  whole_ = whole_ || (whole_at_ && durable >= *whole_at_);
  Acknowledge(durable);
  CountFlushed();
  return true;
}

void Shipper::OnFlushed(std::uint64_t placed) {
  flushed_ = placed;
  CountFlushed();
}

// Whatever happens to the receiver, it can find a flushed batch again only if it can find each batch before it.  So
// flushed batches count only up to the first one for which the receiver's processor still has something to do.
void Shipper::CountFlushed() {
  Lsn flushed_through = acked_;
  for (const InFlight& batch : in_flight_) {
    if (batch.needs_processor || batch.placed > flushed_) break;
    flushed_through = batch.lsn;
  }
  Acknowledge(flushed_through);
}

void Shipper::Acknowledge(Lsn durable) {
  if (durable <= acked_) return;
  acked_ = durable;
  while (!in_flight_.empty() && in_flight_.front().lsn <= durable) {
    acked_bytes_ = in_flight_.front().posted_bytes;
    in_flight_.pop_front();
  }
}

bool Shipper::Stalled(MonoTime now, MonoTime patience) {
  patience += TimeOf(posted_bytes_ - acked_bytes_);
  const MonoTime silent = now - progressed_at_;
  if (in_flight_.empty() || silent <= patience / 2) {
    taken_.reset();
    return false;
  }
  // Once the oldest batch has arrived, the receiver can acknowledge it.  The bytes of later batches that the receiver's
  // machine takes then do not show whether its process hangs.
  const auto left = fabric_->BytesOnTheWay(data_);
  const std::uint64_t taken = left ? posted_bytes_ - std::min(posted_bytes_, *left) : posted_bytes_;
  if (taken >= in_flight_.front().posted_bytes) return silent > patience;
  if (!taken_) taken_ = taken;
  if (taken > *taken_) {
    progressed_at_ = now;
    taken_.reset();
    return false;
  }
  return silent > patience;
}

void Shipper::SendHeartbeat(Epoch epoch, Lsn committed, MonoTime now, bool leads) {
  const wire::Heartbeat heartbeat{epoch, committed, static_cast<std::uint64_t>(now.count()),
                                  leads ? receivers_time_ : 0, reached};
  fabric_->Send(control_, wire::Encode(heartbeat));
}

void Shipper::SendHandOver(Epoch epoch) { fabric_->Send(control_, wire::Encode(wire::HandOver{epoch})); }

void Shipper::Close() {
  fabric_->Close(control_);
  if (data_ != LinkId::kNone) fabric_->Close(data_);
  data_ = LinkId::kNone;
}

}  // namespace faha
