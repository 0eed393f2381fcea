#include "fabric/grant.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <utility>

#include "fabric/native_flush.h"
#include "fabric/socket.h"

namespace faha {

Result<std::unique_ptr<Grant>> Grant::Make(ibv_context* context, const Shared& shared) {
  std::unique_ptr<Grant> grant(new Grant);
  grant->pd_ = ibv_alloc_pd(context);
  if (grant->pd_ == nullptr) {
    return Status{Code::kUnavailable,
                  fmt::format("the RDMA device has no protection domain left: {}", ErrnoText(errno))};
  }
  if (shared.memory.empty()) return grant;
  constexpr int kAccess = IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_WRITE;
  if (shared.persistent) {
    // This is refused for memory that the device's kernel does not know as persistent.
    auto region = MemoryRegion::Register(grant->pd_, shared.memory, kAccess | native_flush::Access());
    if (region.ok()) {
      grant->shared_ = {std::move(region.value()), shared.origin, true};
      return grant;
    }
  }
  auto region = MemoryRegion::Register(grant->pd_, shared.memory, kAccess);
  if (!region.ok()) return region.status();
  grant->shared_ = {std::move(region.value()), shared.origin, false};
  return grant;
}

Grant::~Grant() {
  shared_ = {};
  if (pd_ != nullptr) ibv_dealloc_pd(pd_);
}

Grants::~Grants() {
  if (maker_.joinable()) maker_.join();
}

Status Grants::Prepare() {
  auto first = Grant::Make(context_, shared_);
  if (!first.ok()) return first.status();
  std::promise<Result<std::unique_ptr<Grant>>> made;
  next_ = made.get_future();
  made.set_value(std::move(first));
  return Status::Ok();
}

void Grants::MakeNext() {
  if (maker_.joinable()) maker_.join();  // its result was taken, so the thread is at its end
  std::promise<Result<std::unique_ptr<Grant>>> made;
  next_ = made.get_future();
  maker_ = std::thread([this, made = std::move(made)]() mutable {
    made.set_value(Grant::Make(context_, shared_));
    const std::uint64_t one = 1;
    (void)!::write(wake_fd_, &one, sizeof one);
  });
}

Result<std::unique_ptr<Grant>> Grants::Take() {
  if (!next_.valid()) MakeNext();
  if (next_.wait_for(std::chrono::seconds{0}) != std::future_status::ready) return std::unique_ptr<Grant>();
  auto grant = next_.get();
  if (grant.ok()) MakeNext();
  return grant;
}

void Grants::End(std::unique_ptr<Grant> grant) {
  std::erase_if(ending_,
                [](const auto& each) { return each.wait_for(std::chrono::seconds{0}) == std::future_status::ready; });
  ending_.push_back(std::async(std::launch::async, [ended = std::move(grant)]() mutable { ended.reset(); }));
}

}  // namespace faha
