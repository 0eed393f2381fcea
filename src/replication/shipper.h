// Ships the log to one receiver: the source's half of the Persist RPC.  Thread: main loop only.
// Live shipping and catching up are the same: a cursor that runs along the log, ahead of the acknowledgements by a
// window. Where the devices flush what is placed, a batch counts as soon as they say so, as if the receiver had
// acknowledged it - except from a batch on that needs the receiver's processor: see Shippable and CountFlushed.
// Invariant: acked() <= posted(), and acked() only grows.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "faha/clock.h"
#include "faha/fabric.h"
#include "faha/media.h"
#include "faha/types.h"

namespace faha {

// What can be shipped: sealed batches as opaque bytes.
class BatchSource {
 public:
  struct Shippable {
    LogAddress at;
    std::span<const std::byte> bytes;
    // The receiver writes more than the batch to be able to find it again: without that it is not persistent.
    bool opens_segment = false;
  };
  virtual ~BatchSource() = default;
  // The batch `lsn`; nothing if it has not been sealed.  `hint`: the end of the batch before, or none.
  [[nodiscard]] virtual std::optional<Shippable> BatchToShip(Lsn lsn, LogAddress hint) const = 0;
};

class Shipper {
 public:
  // Unacknowledged bytes in flight: the credit that bounds the receiver's buffers and our queue.
  static constexpr std::uint64_t kWindowBytes = 8ULL << 20;

  Shipper(Fabric* fabric, const BatchSource* source, Member receiver, PersistenceDomain domain, bool fetch, Lsn common,
          LinkId control, std::uint64_t token)
      : fabric_(fabric),
        source_(source),
        receiver_(std::move(receiver)),
        domain_(domain),
        fetch_(fetch),
        posted_(common),
        acked_(common),
        control_(control),
        token_(token) {}

  void OpenData(LinkId data) { data_ = data; }
  // Posts what the window allows.  Never waits.
  void Pump(Epoch epoch, Lsn committed);
  // False if the receiver claims what was never sent.
  [[nodiscard]] bool OnAck(Lsn durable);
  // The first `placed` batches that were placed on the data link are in the receiver's persistence domain.
  void OnFlushed(std::uint64_t placed);
  void SendHeartbeat(Epoch epoch, Lsn committed, MonoTime now);
  void OnHeartbeatAck(MonoTime sent_at) { echoed_ = std::max(echoed_, sent_at); }
  void SendHandOver(Epoch epoch);
  void Close();

  [[nodiscard]] const Member& receiver() const { return receiver_; }
  [[nodiscard]] PersistenceDomain domain() const { return domain_; }
  [[nodiscard]] bool fetch() const { return fetch_; }
  [[nodiscard]] Lsn acked() const { return acked_; }
  [[nodiscard]] Lsn posted() const { return posted_; }
  // When the newest heartbeat that the receiver has answered was sent; 0 if none.
  [[nodiscard]] MonoTime echoed() const { return echoed_; }
  [[nodiscard]] LinkId control() const { return control_; }
  [[nodiscard]] LinkId data() const { return data_; }
  [[nodiscard]] std::uint64_t token() const { return token_; }

  // Does every commit wait for it?  Set by the committer: it has caught up and answers in time.
  bool in_sync = false;
  // Given up on at this LSN: not in sync again before it has it.
  Lsn owed;

 private:
  struct InFlight {
    Lsn lsn;
    std::uint64_t posted_bytes = 0;  // its own and all before it: what an acknowledgement gives back
    std::uint64_t placed = 0;        // how many were placed with it
    bool needs_processor = false;    // only the receiver itself can acknowledge it
  };
  void Acknowledge(Lsn durable);
  void CountFlushed();

  Fabric* fabric_;
  const BatchSource* source_;
  Member receiver_;
  PersistenceDomain domain_;
  bool fetch_;
  Lsn posted_, acked_;
  LogAddress next_at_;
  std::uint64_t posted_bytes_ = 0;
  std::uint64_t acked_bytes_ = 0;
  std::uint64_t placed_ = 0, flushed_ = 0;  // batches, on the data link
  std::vector<InFlight> in_flight_;
  MonoTime echoed_{0};
  LinkId control_;
  LinkId data_ = LinkId::kNone;
  std::uint64_t token_;
};

}  // namespace faha
