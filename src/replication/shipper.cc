#include "replication/shipper.h"

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
    if (!fabric_->Place(data_, batch->bytes, batch->at.value)) {
      fabric_->Send(data_, wire::Encode(wire::Batch{epoch, batch->at, committed}), batch->bytes);
    }
    posted_ = lsn;
    next_at_ = batch->at + batch->bytes.size();
    posted_bytes_ += batch->bytes.size();
    in_flight_.emplace_back(lsn, posted_bytes_);
  }
}

bool Shipper::OnAck(Lsn durable) {
  if (durable > posted_) return false;
  if (durable <= acked_) return true;
  acked_ = durable;
  std::size_t done = 0;
  while (done < in_flight_.size() && in_flight_[done].first <= durable) acked_bytes_ = in_flight_[done++].second;
  in_flight_.erase(in_flight_.begin(), in_flight_.begin() + static_cast<std::ptrdiff_t>(done));
  return true;
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
