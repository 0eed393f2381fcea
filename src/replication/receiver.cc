#include "replication/receiver.h"

#include <fmt/format.h>

#include <cstring>
#include <vector>

namespace faha {

void Receiver::Start() {
  Stop();
  active_ = true;
  Dial();
}

void Receiver::Stop() {
  const bool was_streaming = streaming();
  Close();
  if (was_streaming) sink_->Absorb();
}

void Receiver::Close() {
  if (control_ != LinkId::kNone) fabric_->Close(control_);
  if (data_ != LinkId::kNone) fabric_->Close(data_);
  control_ = data_ = LinkId::kNone;
  active_ = false;
  landed_ = false;
  state_ = State::kIdle;
}

void Receiver::Dial() {
  last_heard_ = clock_->Now();
  next_dial_ = last_heard_ + kRetryDelay;
  const auto source = sink_->NextSource();
  if (!source) return;
  source_ = *source;
  state_ = State::kDialing;
  control_ = fabric_->Dial(source_);
}

// Gives this source up and tries the next one later.
void Receiver::Drop(const Status& reason) {
  const bool was_streaming = streaming();
  Stop();
  active_ = true;
  next_dial_ = clock_->Now() + (was_streaming ? MonoTime{0} : kRetryDelay);
  sink_->Lost(reason);
}

void Receiver::AskForHandOver() {
  if (streaming()) fabric_->Send(control_, wire::Encode(wire::HandOver{epoch_}));
}

void Receiver::OnConnect(LinkId link) {
  if (link == control_ && state_ == State::kDialing) {
    state_ = State::kAsking;
    fabric_->Send(control_, wire::Encode(sink_->Introduce()));
  } else if (link == data_ && state_ == State::kOpening) {
    state_ = State::kStreaming;
    fabric_->AllowBody(data_, max_batch_bytes_);
    fabric_->Send(data_, wire::Encode(wire::DataHello{token_}));
  }
}

void Receiver::OnFrame(LinkId link, std::span<const std::byte> head, std::span<const std::byte> body) {
  last_heard_ = clock_->Now();
  const auto type = wire::TypeOf(head);
  if (link == control_ && type == wire::Type::kFollowReply && state_ == State::kAsking) {
    if (const auto reply = wire::Decode<wire::FollowReply>(head)) return OnReply(*reply);
  } else if (link == control_ && type == wire::Type::kHeartbeat && state_ >= State::kOpening) {
    if (const auto heartbeat = wire::Decode<wire::Heartbeat>(head)) return OnHeartbeat(*heartbeat);
  } else if (link == control_ && type == wire::Type::kHandOver && state_ == State::kStreaming) {
    if (const auto offer = wire::Decode<wire::HandOver>(head)) return sink_->HandOverOffered(offer->epoch);
  } else if (link == data_ && type == wire::Type::kGap && state_ == State::kStreaming) {
    const auto gap = wire::Decode<wire::Gap>(head);
    if (gap && gap->epoch == epoch_ && body.size() % sizeof(std::uint64_t) == 0) return OnGap(*gap, body);
  } else if (link == data_ && type == wire::Type::kCommitted && state_ == State::kStreaming) {
    const auto committed = wire::Decode<wire::Committed>(head);
    if (committed && committed->epoch == epoch_) {
      sink_->Committed(committed->lsn);
      landed_ = true;
      return;
    }
  } else if (link == data_ && type == wire::Type::kBatch && state_ == State::kStreaming) {
    if (const auto batch = wire::Decode<wire::Batch>(head)) return OnBatch(*batch, body);
  }
  Drop({Code::kProtocol,
        fmt::format("{} sent a message that does not belong here: run the same release on both", source_.ToString())});
}

// Acts as if the batch had come in a message: the link, the place and the batch itself tell all that the message would
// say.  See Shipper::Pump.
void Receiver::OnPlaced(LinkId link, std::uint64_t place, std::span<const std::byte> body) {
  last_heard_ = clock_->Now();
  if (link == data_ && state_ == State::kStreaming) return OnBatch({epoch_, LogAddress{place}, Lsn{}}, body);
  Drop({Code::kProtocol, fmt::format("{} placed a batch where none belongs", source_.ToString())});
}

void Receiver::OnReply(const wire::FollowReply& reply) {
  if (reply.code != 0) {
    sink_->Refused(reply);
    // The sink may have stopped this receiver.
    if (active_) {
      Stop();
      active_ = true;
      next_dial_ = clock_->Now() + kRetryDelay;
    }
    return;
  }
  if (Status status = sink_->Accept(reply); !status.ok()) {
    if (active_) Drop(status);
    return;
  }
  epoch_ = reply.epoch;
  token_ = reply.token;
  const bool both =
      fabric_->DataTransport() == Transport::kRdma && reply.transport == static_cast<std::uint8_t>(Transport::kRdma);
  if (need_rdma_ && !both) {
    return Drop({Code::kUnavailable, fmt::format("{} does not ship over RDMA: set faha.fabric rdma there, or auto here",
                                                 source_.ToString())});
  }
  OpenData(both ? Lane::kData : Lane::kControl);
}

void Receiver::OpenData(Lane lane) {
  state_ = State::kOpening;
  opened_at_ = clock_->Now();
  data_lane_ = lane;
  data_ = fabric_->Dial(source_, lane);
}

bool Receiver::FallBack(const Status& reason) {
  if (state_ != State::kOpening || data_lane_ != Lane::kData || need_rdma_) return false;
  sink_->FellBack(reason);
  OpenData(Lane::kControl);
  return true;
}

void Receiver::OnBatch(const wire::Batch& batch, std::span<const std::byte> bytes) {
  Status status = batch.epoch == epoch_ ? sink_->Land(batch, bytes)
                                        : Status{Code::kProtocol, "a batch came with an epoch that was not agreed"};
  if (!status.ok()) {
    if (active_) Drop(status);
    return;
  }
  landed_ = true;
}

void Receiver::OnGap(const wire::Gap& gap, std::span<const std::byte> generations) {
  std::vector<std::uint64_t> in_use(generations.size() / sizeof(std::uint64_t));
  if (!in_use.empty()) std::memcpy(in_use.data(), generations.data(), generations.size());
  const Status status = sink_->Gap(gap.whole_at, in_use);
  if (!status.ok() && active_) Drop(status);
}

void Receiver::OnHeartbeat(const wire::Heartbeat& heartbeat) {
  const MonoTime as_of{static_cast<MonoTime::rep>(heartbeat.echo)};
  if (!sink_->Heard(heartbeat.epoch, heartbeat.committed, as_of)) return;
  sink_->Reached(heartbeat.reached);
  const auto now = static_cast<std::uint64_t>(clock_->Now().count());
  fabric_->Send(control_, wire::Encode(wire::HeartbeatAck{heartbeat.epoch, heartbeat.sent_at, now, sink_->MayLead()}));
}

void Receiver::OnPollEnd() {
  if (!landed_) return;
  landed_ = false;
  auto ack = sink_->Persist();
  if (!ack.ok() || data_ == LinkId::kNone) return;
  ack->epoch = epoch_;
  fabric_->Send(data_, wire::Encode(*ack));
}

void Receiver::OnClose(LinkId link, const Status& reason) {
  if (link == control_) control_ = LinkId::kNone;
  if (link == data_) {
    data_ = LinkId::kNone;
    if (FallBack(reason)) return;
  }
  Drop(reason);
}

void Receiver::OnTick() {
  if (!active_) return;
  const MonoTime now = clock_->Now();
  if (state_ == State::kIdle) {
    if (now >= next_dial_) Dial();
  } else if (state_ == State::kOpening && data_lane_ == Lane::kData && now - opened_at_ > kRdmaPatience) {
    const Status reason{Code::kUnavailable, fmt::format("{} does not answer over RDMA", source_.ToString())};
    fabric_->Close(data_);
    data_ = LinkId::kNone;
    if (!FallBack(reason)) Drop(reason);
  } else if (now - last_heard_ > (state_ < State::kOpening ? kAnswerPatience : kPatience)) {
    // A source that waits for this node's first word, or for TLS's first word, is as silent as a source that hangs.
    const std::string_view what = state_ < State::kOpening
                                      ? "does not answer: it hangs, or has not the same faha.secret and faha.tls"
                                      : "has been silent for too long";
    Drop({Code::kUnavailable, fmt::format("{} {}", source_.ToString(), what)});
  }
}

}  // namespace faha
