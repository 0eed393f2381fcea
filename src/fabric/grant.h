// Leave to write into this node's shared memory, for one link and as long as it lives.
// A grant is a protection domain of that link's own, in which the memory is registered once more.  So a key that a peer
// was told works on that link's queue pair and on no other one, and is gone with it: a peer that remembers it has
// nowhere to use it.  That holds on every device.  Memory windows bound to a queue pair would do as well and cost no
// registration, but not every device has them, and they cannot be flushed natively.  A registration pins every page -
// of a pool of 1 GB on a device DAX 0.3 s in an emulated guest, nearly all of it in the kernel - so threads do that,
// and the next grant is made ahead: who follows another primary does not wait, nor does a primary that hands over.
// Threads: the main loop; what registers and deregisters is in threads of its own.
#pragma once

#include <infiniband/verbs.h>

#include <cstddef>
#include <cstdint>
#include <future>
#include <memory>
#include <span>
#include <thread>
#include <vector>

#include "fabric/queue_pair.h"
#include "faha/status.h"

namespace faha {

// Memory in which bodies have their places, counted from `origin`.
struct Shared {
  std::span<std::byte> memory;
  std::uint64_t origin = 0;
  bool persistent = false;  // and peers may flush it natively
};

// The same, as one protection domain knows it.
struct SharedMemory {
  MemoryRegion region;
  std::uint64_t origin = 0;
  bool persistent = false;
};

class Grant {
 public:
  // A domain in which peers may write to `shared`; to nothing if that is empty.  Errors: Unavailable.
  static Result<std::unique_ptr<Grant>> Make(ibv_context* context, const Shared& shared);
  ~Grant();
  Grant(const Grant&) = delete;
  Grant& operator=(const Grant&) = delete;

  [[nodiscard]] ibv_pd* pd() const { return pd_; }
  [[nodiscard]] const SharedMemory& shared() const { return shared_; }

 private:
  Grant() = default;
  ibv_pd* pd_ = nullptr;
  SharedMemory shared_;
};

// Those of one device.
class Grants {
 public:
  // `wake_fd`, an eventfd, is counted up when a grant that Take() did not have is made, or could not be.
  Grants(ibv_context* context, const Shared& shared, int wake_fd)
      : context_(context), shared_(shared), wake_fd_(wake_fd) {}
  // Waits for what is under way.
  ~Grants();

  // Makes the first one, and waits for that.  Errors: Unavailable.
  Status Prepare();
  // Null: it is being made.  Errors: Unavailable - it could not be made; the next call tries again.
  Result<std::unique_ptr<Grant>> Take();
  // Nobody's any more: no queue pair is in its domain.
  void End(std::unique_ptr<Grant> grant);

 private:
  void MakeNext();

  ibv_context* context_;
  const Shared shared_;
  const int wake_fd_;
  std::thread maker_;
  std::future<Result<std::unique_ptr<Grant>>> next_;
  std::vector<std::future<void>> ending_;
};

}  // namespace faha
