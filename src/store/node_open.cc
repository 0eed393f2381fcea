// Opening: recovery and the fabric.  See node.h.
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "base/system_clock.h"
#include "fabric/make_fabric.h"
#include "pmem/pool_media.h"
#include "store/node.h"

namespace faha {

Result<std::unique_ptr<Store>> Store::Open(const Options& options, StoreObserver* observer, Env env) {
  std::unique_ptr<Media> media = std::move(env.media);
  auto node = std::make_unique<Node>(options, observer, std::move(env));
  // This is checked before the pool is touched: the cause of a refusal is most often a setting.
  if (Status status = node->ChooseFabric(); !status.ok()) return status;
  if (!media) {
    // A pool file that is created and then refused would prevent the next start.
    std::error_code error;
    const bool exists = std::filesystem::exists(options.pool_path, error) || error;
    const Status possible = exists ? Status::Ok() : CheckNewPool(options.pool_bytes, options.segment_bytes);
    if (!possible.ok()) return possible;
    auto opened = OpenMedia({options.pool_path, options.pool_bytes, options.persistence_domain, options.log});
    if (!opened.ok()) return opened.status();
    media = std::move(opened.value());
  }
  if (Status status = node->Start(std::move(media)); !status.ok()) return status;
  return std::unique_ptr<Store>(std::move(node));
}

Node::Node(const Options& options, StoreObserver* observer, Env env)
    : options_(options),
      observer_(observer),
      own_clock_(env.clock == nullptr ? std::make_unique<SystemClock>() : nullptr),
      clock_(env.clock == nullptr ? own_clock_.get() : env.clock),
      fabric_(env.fabric),
      memory_(env.memory == nullptr ? std::pmr::get_default_resource() : env.memory),
      health_(&options_, clock_, [this] { election_->OnFailure(); }),
      replica_(&options_, clock_, &health_) {}

Status Node::ChooseFabric() {
  if (fabric_ != nullptr) return Status::Ok();
  auto made = MakeFabric(options_, remark_);
  if (!made.ok()) return made.status();
  own_fabric_ = std::move(made.value());
  fabric_ = own_fabric_.get();
  return Status::Ok();
}

// Listens, and notes how batches are transported.  Errors: Unavailable - the address, or RDMA that is required.
Status Node::OpenFabric() {
  fabric_->SetSpin(options_.rdma_spin);
  if (options_.port == 0) return Status::Ok();
  if (Status status = fabric_->Listen({options_.bind, options_.port}); !status.ok()) return status;
  if (remark_.empty()) remark_ = fabric_->Remark();
  if (!remark_.empty()) health_.Note(LogLevel::kNotice, fmt::format("batches go over TCP: {}", remark_));
  if (fabric_->DataTransport() != Transport::kRdma) return Status::Ok();
  const auto shared = pool_->media().shared();
  // A flush by a device makes data durable in this node's sense only if the medium needs nothing but stores and their
  // flush.
  const PersistenceDomain domain = pool_->media().domain();
  const bool persistent = domain == PersistenceDomain::kCacheLine || domain == PersistenceDomain::kCpuCache;
  const Status direct =
      shared.empty() ? Status{Code::kUnavailable, "the pool is not on a device DAX"}
                     : fabric_->ShareMemory(shared.subspan(format::kDataOffset), format::kDataOffset, persistent);
  health_.Note(LogLevel::kNotice, direct.ok()
                                      ? "batches go over RDMA and land in the pool directly"
                                      : fmt::format("batches go over RDMA and land in a ring: {}", direct.message()));
  return Status::Ok();
}

Node::~Node() {
  if (follower_) follower_->receiver().Close();
  if (committer_) committer_->End();
}

Status Node::Start(std::unique_ptr<Media> media) {
  if (Status status = replica_.Open(std::move(media), memory_); !status.ok()) return status;
  pool_ = &replica_.pool();
  log_ = &replica_.log();
  engine_ = &replica_.engine();
  if (const auto source = pool_->InstallSource()) book_.SetSeeds({*source});
  self_ = {.id = pool_->node(),
           .host = options_.announce_host,
           .port = options_.peer_port != 0 ? options_.peer_port : options_.port,
           .redis_port = options_.redis_port,
           .pool_bytes = pool_->media().bytes().size(),
           .peer_host = options_.peer_host};
  if (Status status =
          Source::CheckPeerHost(self_, replica_.members().size() > 1 ? replica_.membership().level() : kHighestLevel);
      !status.ok()) {
    return status;
  }
  // While the log is being received, the members are not known, and this node may have given a lease before.
  const bool alone = replica_.whole() && replica_.members().size() <= 1;
  // A vote of this node for itself proves nothing: another node may have won that epoch and held a lease in it.
  const NodeId leader = pool_->leader();
  voter_.emplace(pool_->promised(), pool_->voted_for(), options_.lease, clock_->Now(),
                 Voter::Forgotten{.nothing = alone || leader == self_.id, .holder = leader});
  if (Status status = OpenFabric(); !status.ok()) return status;
  probes_.emplace(fabric_, clock_, &options_);
  committer_.emplace(log_, &replica_.membership(), &options_, self_);
  const PartContext shared{.options = &options_,
                           .observer = observer_,
                           .clock = clock_,
                           .fabric = fabric_,
                           .health = &health_,
                           .standing = &standing_,
                           .replica = &replica_,
                           .voter = &*voter_,
                           .self = self_};
  election_.emplace(shared, &standing_, &*voter_, &book_, &*committer_, &*probes_);
  primary_.emplace(shared, &*committer_, &*probes_, static_cast<Primary::Loop*>(this), &*election_);
  space_.emplace(shared, &*committer_, &*primary_);
  source_.emplace(shared, &*committer_, &*probes_);
  follower_.emplace(shared, &standing_, &*voter_, &book_, remark_, &*election_);
  election_->Attach(&*primary_, &*space_, &*follower_);
  votes_.emplace(shared, &book_, &*committer_, &*probes_, &*primary_, &*follower_, &*election_);
  sessions_.emplace(shared, &*committer_, &*probes_, &*primary_, &*source_, &*follower_, &*election_, &*votes_);
  if (Status status = replica_.Recover(alone); !status.ok()) return status;
  // A node that was the primary seeks a new epoch; any other node first waits a while to hear of one.
  follower_->ForgetPrimary();
  if (replica_.whole() && (alone || pool_->voted_for() == self_.id)) {
    election_->StartCampaign(Epoch{}, Epoch{}, std::chrono::milliseconds::max(), nullptr);
  } else {
    follower_->receiver().Start();
  }
  return health_.failure();
}

}  // namespace faha
