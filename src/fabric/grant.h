// A grant is the permission to write into this node's shared memory, for one link and for as long as that link lives.
// It is a protection domain of that link's own, in which the memory is registered once more.  So a key that a peer was
// told works only on that link's queue pair and ends with it: a peer that remembers the key cannot use it anywhere.
// That holds on every device.  Memory windows bound to a queue pair would do as well and cost no registration, but not
// every device has them, and they cannot be flushed natively.
// A registration pins every page.  For a pool of 1 GB on a device DAX this takes 0.3 s in an emulated guest, nearly all
// of it in the kernel.  So threads register the memory, and the next grant is made in advance: a node that follows
// another primary does not wait for its grant, nor does a primary that hands over.
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

// Memory in which bodies are placed; places are counted from `origin`.
struct Shared {
  std::span<std::byte> memory;
  std::uint64_t origin = 0;
  bool persistent = false;  // and peers may flush it natively
};

// The shared memory as it is registered in one protection domain.
struct SharedMemory {
  MemoryRegion region;
  std::uint64_t origin = 0;
  bool persistent = false;
};

class Grant {
 public:
  // Makes a domain in which peers may write to `shared`, or to nothing if `shared` is empty.  Errors: Unavailable.
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

// The grants of one device.
class Grants {
 public:
  // `wake_fd` is an eventfd that is counted up whenever a thread has made a grant or has failed to make one.
  Grants(ibv_context* context, const Shared& shared, int wake_fd)
      : context_(context), shared_(shared), wake_fd_(wake_fd) {}
  // Waits for the grants that are being made or ended.
  ~Grants();

  // Makes the first grant and waits for it.  Errors: Unavailable.
  Status Prepare();
  // Takes the next grant; null if it is still being made.  Errors: Unavailable - the grant could not be made; the next
  // call tries again.
  Result<std::unique_ptr<Grant>> Take();
  // Ends a grant that nobody uses any more: no queue pair is in its domain.
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
