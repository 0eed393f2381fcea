#include "replication/shipper.h"

#include <algorithm>
#include <iterator>

#include "replication/wire.h"

namespace faha {

void Shipper::Pump(Epoch epoch, Lsn committed) {
  if (data_ == LinkId::kNone) return;
  while (posted_bytes_ - acked_bytes_ < kWindowBytes) {
    const Lsn lsn = posted_.Next();
    const auto batch = source_->BatchToShip(lsn, next_at_);
    if (!batch) return;
    // A batch that is placed needs no message: its link stands for the epoch, its place is its address, and its header
    // names what was committed when it was sealed.
    const bool placed = fabric_->Place(data_, batch->bytes, batch->at.value);
    if (placed) {
      ++placed_;
    } else {
      fabric_->Send(data_, wire::Encode(wire::Batch{epoch, batch->at, committed}), batch->bytes);
    }
    posted_ = lsn;
    next_at_ = batch->at + batch->bytes.size();
    posted_bytes_ += batch->bytes.size();
    in_flight_.push_back({lsn, posted_bytes_, placed_, !placed || batch->opens_segment});
  }
}

bool Shipper::OnAck(Lsn durable) {
  if (durable > posted_) return false;
  Acknowledge(durable);
  CountFlushed();
  return true;
}

void Shipper::OnFlushed(std::uint64_t placed) {
  flushed_ = placed;
  CountFlushed();
}

// What is flushed can be found again by the receiver, whatever becomes of it, only if each batch before it can: up to
// the first that the receiver itself must still have done something for.
void Shipper::CountFlushed() {
  Lsn reached = acked_;
  for (const InFlight& batch : in_flight_) {
    if (batch.needs_processor || batch.placed > flushed_) break;
    reached = batch.lsn;
  }
  Acknowledge(reached);
}

void Shipper::Acknowledge(Lsn durable) {
  if (durable <= acked_) return;
  acked_ = durable;
  const auto left =
      std::find_if(in_flight_.begin(), in_flight_.end(), [&](const InFlight& batch) { return batch.lsn > durable; });
  if (left != in_flight_.begin()) acked_bytes_ = std::prev(left)->posted_bytes;
  in_flight_.erase(in_flight_.begin(), left);
}

void Shipper::SendHeartbeat(Epoch epoch, Lsn committed, MonoTime now) {
  fabric_->Send(control_, wire::Encode(wire::Heartbeat{epoch, committed, static_cast<std::uint64_t>(now.count())}));
}

void Shipper::SendHandOver(Epoch epoch) { fabric_->Send(control_, wire::Encode(wire::HandOver{epoch})); }

void Shipper::Close() {
  fabric_->Close(control_);
  if (data_ != LinkId::kNone) fabric_->Close(data_);
  data_ = LinkId::kNone;
}

}  // namespace faha
