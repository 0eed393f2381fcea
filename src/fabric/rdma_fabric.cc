// Connections, devices, memory and waiting.  Thread: main loop only.
#include "fabric/rdma_fabric.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "base/check.h"
#include "fabric/displaced.h"
#include "fabric/native_flush.h"
#include "fabric/precise_wait.h"
#include "fabric/socket.h"

namespace faha {

namespace {

// Ids of this fabric's own links; TcpFabric counts from 1.
constexpr std::uint64_t kFirstId = 1ULL << 62;
constexpr int kResolveMilliseconds = 500;
// 4.096 us << 14 = 67 ms for each of 6 tries: a dead peer is noticed within half a second.  The same number bounds the
// tries at a receiver that is not ready, where 7 would mean: try for ever.
constexpr std::uint8_t kAckTimeout = 14;
constexpr std::uint8_t kRetries = 6;
constexpr std::uint64_t kControlKey = 1, kWakeKey = 2, kTcpKey = 3, kChannelKey = 4, kTimerKey = 5;
// The most events of the connection manager (connection requests and the like) that one look handles, so that a flood
// of them gets its turn and no more.
constexpr int kMaxControlEvents = 16;
// How long one Poll may go on while batches keep coming, so that clients have their turn.
constexpr std::chrono::microseconds kMaxLinger{1000};

using SteadyClock = std::chrono::steady_clock;

bool AddToSet(int epoll_fd, int fd, std::uint64_t key) {
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u64 = key;
  return ::epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0;
}

bool SetNonBlocking(int fd) { return ::fcntl(fd, F_SETFL, ::fcntl(fd, F_GETFL) | O_NONBLOCK) == 0; }

std::optional<RingOffer> ReadOffer(std::span<const std::byte> bytes) {
  RingOffer offer;
  if (bytes.size() < sizeof offer) return std::nullopt;
  std::memcpy(&offer, bytes.data(), sizeof offer);
  return offer;
}

bool IsLoopback(const std::string& host) { return host.starts_with("127.") || host == "::1" || host == "localhost"; }

Endpoint PeerOf(rdma_cm_id* id) {
  SocketAddress address;
  const sockaddr* peer = rdma_get_peer_addr(id);
  address.size = peer->sa_family == AF_INET6 ? sizeof(sockaddr_in6) : sizeof(sockaddr_in);
  std::memcpy(&address.storage, peer, address.size);
  return address.ToEndpoint();
}

}  // namespace

// The parts of an event that are copied, so that the event can be acknowledged before anything happens to its
// connection.
struct RdmaFabric::Event {
  rdma_cm_event_type type;
  rdma_cm_id* id = nullptr;
  int status = 0;
  std::array<std::byte, 256> bytes{};
  std::size_t size = 0;
  [[nodiscard]] std::span<const std::byte> data() const { return std::span(bytes).first(size); }
};

Status RdmaFabric::Device::Share(const Shared& shared, int wake_fd) {
  source = {};
  grants.reset();
  // This registration is only read, and only by this node's own writes.
  auto region = MemoryRegion::Register(pd, shared.memory, 0);
  if (!region.ok()) return region.status();
  auto made =
      std::make_unique<Grants>(context, Shared{shared.memory, shared.origin, shared.persistent && flushes}, wake_fd);
  if (Status status = made->Prepare(); !status.ok()) return status;
  source = {std::move(region.value()), shared.origin, false};
  grants = std::move(made);
  return Status::Ok();
}

RdmaFabric::Device::~Device() {
  grants.reset();
  source = {};
  if (channel != nullptr) ibv_destroy_comp_channel(channel);
  if (pd != nullptr) ibv_dealloc_pd(pd);
}

Result<std::unique_ptr<RdmaFabric>> RdmaFabric::Create(bool required, const RdmaLimits& limits,
                                                       const TcpFabricLimits& control) {
  // This must come before any other verb: Redis forks, and the memory that the device writes to must stay the parent's.
  if (const int error = ibv_fork_init(); error != 0) {
    return Status{Code::kUnavailable, fmt::format("the RDMA library cannot bear a fork: {}", ErrnoText(error))};
  }
  int count = 0;
  ibv_device** found = ibv_get_device_list(&count);
  if (found != nullptr) ibv_free_device_list(found);
  if (count == 0) {
    return Status{Code::kUnavailable, "this machine has no RDMA device: see ibv_devices, or set faha.fabric tcp"};
  }
  std::unique_ptr<RdmaFabric> fabric(new RdmaFabric(required, limits, control));
  fabric->last_id_ = kFirstId;
  fabric->epoll_fd_ = ::epoll_create1(EPOLL_CLOEXEC);
  fabric->wake_fd_ = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  fabric->timer_fd_ = ::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
  fabric->control_ = rdma_create_event_channel();
  if (fabric->epoll_fd_ < 0 || fabric->wake_fd_ < 0 || fabric->timer_fd_ < 0 || fabric->control_ == nullptr ||
      !SetNonBlocking(fabric->control_->fd) || !AddToSet(fabric->epoll_fd_, fabric->control_->fd, kControlKey) ||
      !AddToSet(fabric->epoll_fd_, fabric->wake_fd_, kWakeKey) ||
      !AddToSet(fabric->epoll_fd_, fabric->timer_fd_, kTimerKey) ||
      !AddToSet(fabric->epoll_fd_, fabric->tcp_.descriptor(), kTcpKey)) {
    return Status{Code::kUnavailable,
                  fmt::format("the RDMA connection manager cannot be used: {}: load rdma_ucm", ErrnoText(errno))};
  }
  return fabric;
}

RdmaFabric::~RdmaFabric() {
  FAHA_CHECK(handler_ == nullptr, "a fabric is not destroyed by its own handler");
  while (!links_.empty()) Detach(*links_.begin()->second);
  if (listener_ != nullptr) rdma_destroy_id(listener_);
  devices_.clear();
  if (control_ != nullptr) rdma_destroy_event_channel(control_);
  for (const int fd : {epoll_fd_, wake_fd_, timer_fd_}) {
    if (fd >= 0) ::close(fd);
  }
}

// The child only closes the descriptors: everything else would act on the parent's connections.
void RdmaFabric::OnForkedChild() noexcept {
  for (const auto& device : devices_) {
    ::close(device->channel->fd);
    ::close(device->context->cmd_fd);
    ::close(device->context->async_fd);
  }
  for (const int fd : {control_ == nullptr ? -1 : control_->fd, epoll_fd_, wake_fd_, timer_fd_}) {
    if (fd >= 0) ::close(fd);
  }
}

// --- Control.

Status RdmaFabric::Listen(const Endpoint& at) {
  if (Status status = tcp_.Listen(at); !status.ok()) return status;
  Status status = ListenRdma({at.host, at.port == 0 ? tcp_.port() : at.port});
  if (status.ok()) return status;
  if (required_) return status;
  remark_ = status.message();
  return Status::Ok();
}

Status RdmaFabric::ListenRdma(const Endpoint& at) {
  if (IsLoopback(at.host)) {
    return {Code::kUnavailable, fmt::format("{} is an address of no RDMA device: set faha.bind to one (rdma link, ip "
                                            "address)",
                                            at.host)};
  }
  auto address = ResolveNumeric(at);
  if (!address.ok()) return address.status();
  if (listener_ != nullptr) rdma_destroy_id(listener_);
  listener_ = nullptr;
  if (rdma_create_id(control_, &listener_, nullptr, RDMA_PS_TCP) != 0) {
    return {Code::kUnavailable, fmt::format("no RDMA connection can be made: {}", ErrnoText(errno))};
  }
  if (rdma_bind_addr(listener_, address->get()) != 0 || rdma_listen(listener_, 16) != 0) {
    const int error = errno;
    rdma_destroy_id(listener_);
    listener_ = nullptr;
    const bool foreign = error == ENODEV || error == EADDRNOTAVAIL;
    return {
        Code::kUnavailable,
        fmt::format("cannot listen for RDMA at {}: {}", at.ToString(),
                    foreign ? "no RDMA device has this address: set faha.bind to one that has (rdma link, ip address)"
                            : ErrnoText(error))};
  }
  return Status::Ok();
}

Result<RdmaFabric::Device*> RdmaFabric::DeviceOf(ibv_context* context) {
  for (const auto& device : devices_) {
    if (device->context == context) return device.get();
  }
  auto device = std::make_unique<Device>();
  device->context = context;
  device->pd = ibv_alloc_pd(context);
  device->channel = device->pd == nullptr ? nullptr : ibv_create_comp_channel(context);
  if (device->channel == nullptr || !SetNonBlocking(device->channel->fd) ||
      !AddToSet(epoll_fd_, device->channel->fd, kChannelKey)) {
    return Status{Code::kUnavailable, fmt::format("the RDMA device {} cannot be used: {}",
                                                  ibv_get_device_name(context->device), ErrnoText(errno))};
  }
  // If the memory cannot be shared, every body goes through a ring.
  device->flushes = native_flush::Supported(context);
  if (!shared_.memory.empty()) (void)device->Share(shared_, wake_fd_);
  devices_.push_back(std::move(device));
  return devices_.back().get();
}

Status RdmaFabric::ShareMemory(std::span<std::byte> memory, std::uint64_t origin, bool persistent) {
  shared_ = {};  // a device that is opened below must not register it a first time
  int count = 0;
  ibv_context** contexts = rdma_get_devices(&count);
  Status status{Code::kUnavailable, "no RDMA device is ready"};
  for (int i = 0; contexts != nullptr && i < count; ++i) {
    auto device = DeviceOf(contexts[i]);
    if (!device.ok()) {
      status = device.status();
      continue;
    }
    status = (*device)->Share({memory, origin, persistent}, wake_fd_);
  }
  if (contexts != nullptr) rdma_free_devices(contexts);
  if (status.ok()) shared_ = {memory, origin, persistent};
  return status;
}

Status RdmaFabric::OpenRing(Link& link) {
  std::uint8_t timeout = kAckTimeout;
  (void)rdma_set_option(link.cm, RDMA_OPTION_ID, RDMA_OPTION_ID_ACK_TIMEOUT, &timeout, sizeof timeout);
  const Device& device = *link.device;
  RingLink::Terms terms{.dialed = link.dialed, .queued_limit = limits_.queued_bytes};
  if (link.dialed) {
    terms.ring_bytes = limits_.dialed_ring_bytes;
    terms.into = &link.grant->shared();
  } else {
    terms.ring_bytes = limits_.accepted_ring_bytes;
    terms.from = &device.source;
    terms.flush = device.flushes;
  }
  auto ring = RingLink::Create(link.cm, link.dialed ? link.grant->pd() : device.pd, device.channel, terms);
  if (!ring.ok()) return ring.status();
  link.ring = std::move(ring.value());
  return Status::Ok();
}

// Gives the link its grant: what the peer will be able to write to.  If the link has none after Ok, the grant is being
// made, and the link waits for it.
Status RdmaFabric::TakeGrant(Link& link) {
  auto device = DeviceOf(link.cm->verbs);
  if (!device.ok()) return device.status();
  link.device = *device;
  if (link.device->grants != nullptr) {
    const auto now = SteadyClock::now();
    auto grant = link.device->grants->Take();
    if (grant.ok() && *grant != nullptr) {
      link.grant = std::move(*grant);
    } else if (grant.ok() && (!link.deadline || now < *link.deadline)) {
      if (!link.deadline) link.deadline = now + limits_.grant_time;
      SetTimer();
      return Status::Ok();
    }
  }
  link.deadline.reset();
  if (link.grant != nullptr) return Status::Ok();
  // The link can have only a ring: nothing is shared, or its grant was not made in time.
  auto bare = Grant::Make(link.device->context, {});
  if (bare.ok()) link.grant = std::move(*bare);
  return bare.status();
}

// Goes on with a link whose route is known, if its grant is there.
void RdmaFabric::Connect(Link& link) {
  Status status = TakeGrant(link);
  if (status.ok() && link.grant == nullptr) return;
  if (status.ok()) status = OpenRing(link);
  if (!status.ok()) return Drop(link, std::move(status));
  const RingOffer offer = link.ring->Offer();
  rdma_conn_param parameters{};
  parameters.private_data = &offer;
  parameters.private_data_len = sizeof offer;
  // A flush is answered as a read is, so it takes the resources of a read.  The connection manager allows both or none.
  if ((offer.features & kPersistentFlush) != 0) parameters.responder_resources = RDMA_MAX_RESP_RES;
  parameters.retry_count = kRetries;
  parameters.rnr_retry_count = kRetries;
  if (rdma_connect(link.cm, &parameters) != 0) {
    Drop(link, {Code::kUnavailable, fmt::format("cannot connect to {} over RDMA: {}", link.who, ErrnoText(errno))});
  }
}

void RdmaFabric::ConnectGranted() {
  std::vector<LinkId> waiting;
  for (const auto& [id, link] : links_) {
    if (link->dialed && link->deadline) waiting.push_back(id);
  }
  for (const LinkId id : waiting) {
    if (Link* link = Find(id); link != nullptr) Connect(*link);
  }
}

LinkId RdmaFabric::Dial(const Endpoint& peer, Lane lane) {
  if (lane == Lane::kControl) return tcp_.Dial(peer, lane);
  auto owned = std::make_unique<Link>();
  Link& link = *owned;
  link.id = LinkId{++last_id_};
  link.peer = peer;
  link.who = peer.ToString();
  link.dialed = true;
  links_[link.id] = std::move(owned);
  auto address = ResolveNumeric(peer);
  if (!address.ok()) {
    Fail(link, address.status());
  } else if (rdma_create_id(control_, &link.cm, &link, RDMA_PS_TCP) != 0 ||
             rdma_resolve_addr(link.cm, nullptr, address->get(), kResolveMilliseconds) != 0) {
    Fail(link, {Code::kUnavailable, fmt::format("no RDMA device reaches {}: {}", peer.ToString(), ErrnoText(errno))});
  }
  return link.id;
}

RdmaFabric::Link* RdmaFabric::Find(LinkId id) {
  const auto found = links_.find(id);
  return found == links_.end() ? nullptr : found->second.get();
}

// Returns the link's ring if it is attached and its peer may be sent something; else null.
RingLink* RdmaFabric::RingOf(Link* link) {
  const bool open =
      link != nullptr && !link->failure && !link->stranger && link->ring != nullptr && link->ring->attached();
  return open ? link->ring.get() : nullptr;
}

void RdmaFabric::Send(LinkId id, std::span<const std::byte> head, std::span<const std::byte> body) {
  if (static_cast<std::uint64_t>(id) < kFirstId) return tcp_.Send(id, head, body);
  Link* link = Find(id);
  RingLink* ring = RingOf(link);
  if (ring == nullptr) return;
  if (Status status = ring->Send(head, body); !status.ok()) Fail(*link, std::move(status));
}

bool RdmaFabric::Place(LinkId id, std::span<const std::byte> body, std::uint64_t place) {
  Link* link = Find(id);
  RingLink* ring = RingOf(link);
  if (ring == nullptr) return false;
  const auto placed = ring->Place(body, place);
  if (!placed.ok()) Fail(*link, placed.status());
  return !placed.ok() || *placed;
}

void RdmaFabric::Trust(LinkId id) {
  Link* link = Find(id);
  if (link == nullptr || !std::exchange(link->stranger, false)) return;
  --strangers_;
  link->deadline.reset();
}

void RdmaFabric::AllowBody(LinkId id, std::uint32_t max_bytes) {
  if (static_cast<std::uint64_t>(id) < kFirstId) return tcp_.AllowBody(id, max_bytes);
  if (Link* link = Find(id); link != nullptr) link->max_body = max_bytes;
}

void RdmaFabric::Close(LinkId id) {
  if (static_cast<std::uint64_t>(id) < kFirstId) return tcp_.Close(id);
  if (Link* link = Find(id); link != nullptr) Detach(*link);
}

bool RdmaFabric::Flushes(LinkId id) const {
  const auto found = links_.find(id);
  return found != links_.end() && found->second->ring != nullptr && found->second->ring->flushes();
}

Transport RdmaFabric::TransportOf(LinkId link) const {
  return static_cast<std::uint64_t>(link) < kFirstId ? Transport::kTcp : Transport::kRdma;
}

// The next Poll tells the handler of the failure.
void RdmaFabric::Fail(Link& link, Status reason) {
  if (link.failure) return;
  link.failure = std::move(reason);
  failed_.push_back(link.id);
  Wake();
}

// Makes the descriptor readable because the next Poll has something to do.
void RdmaFabric::Wake() const {
  const std::uint64_t one = 1;
  FAHA_CHECK(::write(wake_fd_, &one, sizeof one) == sizeof one, "an event can be counted");
}

// `reason` is passed by value because it must outlive the link.
void RdmaFabric::Drop(Link& link, Status reason) {
  const LinkId id = link.id;
  const bool known = link.dialed || link.established;
  Detach(link);
  if (!known) return;
  delivered_ = true;
  handler_->OnClose(id, reason);
}

void RdmaFabric::Detach(Link& link) {
  if (link.cm != nullptr) {
    if (link.ring != nullptr) {
      (void)rdma_disconnect(link.cm);  // tells the peer, and does not wait for it
      link.ring->Shut();
    }
    rdma_destroy_id(link.cm);
    link.cm = nullptr;
  }
  if (!link.dialed) --accepted_;
  if (link.stranger) --strangers_;
  auto node = links_.extract(link.id);
  if (handler_ == nullptr) return Free(std::move(node.mapped()));
  graveyard_.push_back(std::move(node.mapped()));
}

void RdmaFabric::Free(std::unique_ptr<Link> link) {
  // What is registered in a protection domain must be freed before the domain.
  link->ring.reset();
  if (link->grant != nullptr && link->device->grants != nullptr) link->device->grants->End(std::move(link->grant));
}

bool RdmaFabric::HandleControlEvent() {
  rdma_cm_event* got = nullptr;
  if (rdma_get_cm_event(control_, &got) != 0) return false;
  Event event{.type = got->event, .id = got->id, .status = got->status};
  event.size = std::min<std::size_t>(got->param.conn.private_data_len, event.bytes.size());
  const bool has_data = got->event == RDMA_CM_EVENT_CONNECT_REQUEST || got->event == RDMA_CM_EVENT_ESTABLISHED ||
                        got->event == RDMA_CM_EVENT_REJECTED;
  if (!has_data || got->param.conn.private_data == nullptr) event.size = 0;
  if (event.size != 0) std::memcpy(event.bytes.data(), got->param.conn.private_data, event.size);
  // The event is acknowledged before it is handled, because an id cannot be destroyed while one of its events is held.
  rdma_ack_cm_event(got);
  Handle(event);
  return true;
}

void RdmaFabric::Handle(const Event& event) {
  if (event.type == RDMA_CM_EVENT_CONNECT_REQUEST) return Accept(event);
  auto* link = static_cast<Link*>(event.id->context);
  if (link == nullptr) return;  // an event of the listener
  const auto unreachable = [&](std::string_view why) {
    Drop(*link, {Code::kUnavailable, fmt::format("cannot connect to {} over RDMA: {}", link->who, why)});
  };
  switch (event.type) {
    case RDMA_CM_EVENT_ADDR_RESOLVED:
      if (rdma_resolve_route(link->cm, kResolveMilliseconds) != 0) unreachable(ErrnoText(errno));
      return;
    case RDMA_CM_EVENT_ROUTE_RESOLVED: return Connect(*link);
    case RDMA_CM_EVENT_ESTABLISHED:
      if (link->dialed) {
        const auto offer = ReadOffer(event.data());
        if (!offer)
          return Drop(*link, {Code::kProtocol, fmt::format("{} does not speak FaHA's protocol: check the "
                                                           "address",
                                                           link->who)});
        if (Status status = link->ring->Attach(*offer); !status.ok()) return Drop(*link, std::move(status));
      }
      return Establish(*link);
    case RDMA_CM_EVENT_ADDR_ERROR: return unreachable("no RDMA device has a route to it");
    case RDMA_CM_EVENT_ROUTE_ERROR: return unreachable("its route or GID cannot be resolved");
    case RDMA_CM_EVENT_UNREACHABLE:
    case RDMA_CM_EVENT_CONNECT_ERROR: return unreachable("it does not answer");
    case RDMA_CM_EVENT_REJECTED: {
      const auto offer = ReadOffer(event.data());
      if (offer && offer->magic == kOfferMagic && offer->version != kRingVersion) {
        return Drop(*link, {Code::kPeerVersion,
                            fmt::format("{} speaks version {} of the RDMA protocol, this node {}: run the same release "
                                        "on both",
                                        link->who, offer->version, kRingVersion)});
      }
      return unreachable("it refused: nobody listens for RDMA there");
    }
    case RDMA_CM_EVENT_DISCONNECTED: {
      // Messages that came before the end are delivered first.
      const LinkId id = link->id;
      (void)LookAtRings();
      if (Link* left = Find(id); left != nullptr) {
        Drop(*left, {Code::kUnavailable, fmt::format("the RDMA connection to {} was closed by the peer", left->who)});
      }
      return;
    }
    case RDMA_CM_EVENT_DEVICE_REMOVAL: return Drop(*link, {Code::kUnavailable, "the RDMA device was removed"});
    default: return;
  }
}

// Makes room for one more link from `host`, if need be; false if it cannot be accepted.
bool RdmaFabric::MakeRoom(const std::string& host) {
  if (accepted_ < limits_.accepted_links && strangers_ < limits_.strangers) return true;
  Link* out = Displaced(links_, host, [this](const std::string& each) { return tcp_.Knows(each); });
  if (out == nullptr) return false;
  Drop(*out, {Code::kUnavailable, fmt::format("{} has shown no token, and others wait for its place", out->who)});
  return true;
}

// Sets the timer for the next deadline of a link.
void RdmaFabric::SetTimer() {
  auto next = SteadyClock::time_point::max();
  for (const auto& [id, link] : links_) next = std::min(next, link->deadline.value_or(next));
  if (next == SteadyClock::time_point::max()) return;
  const auto left = std::max<std::chrono::nanoseconds>(next - SteadyClock::now(), std::chrono::nanoseconds{1});
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(left);
  itimerspec when{};
  when.it_value = {seconds.count(), (left - seconds).count()};
  FAHA_CHECK(::timerfd_settime(timer_fd_, 0, &when, nullptr) == 0, "a timer can be set");
}

void RdmaFabric::OnTimer() {
  std::uint64_t count = 0;
  (void)!::read(timer_fd_, &count, sizeof count);
  const auto now = SteadyClock::now();
  std::vector<LinkId> overdue;
  for (const auto& [id, link] : links_) {
    if (link->deadline && *link->deadline <= now) overdue.push_back(id);
  }
  for (const LinkId id : overdue) {
    Link* link = Find(id);
    if (link == nullptr) continue;
    if (link->dialed) {
      Connect(*link);
    } else {
      Drop(*link, {Code::kUnavailable,
                   fmt::format("{} has shown no token within {} ms", link->who, limits_.stranger_time.count())});
    }
  }
  SetTimer();
}

void RdmaFabric::Accept(const Event& event) {
  const Endpoint peer = PeerOf(event.id);
  const bool has_room = MakeRoom(peer.host);
  auto owned = std::make_unique<Link>();
  Link& link = *owned;
  link.id = LinkId{++last_id_};
  link.cm = event.id;
  link.peer = peer;
  link.who = link.peer.host;
  event.id->context = &link;
  links_[link.id] = std::move(owned);
  link.stranger = true;
  link.deadline = SteadyClock::now() + limits_.stranger_time;
  ++accepted_;
  ++strangers_;
  // The refusal tells a dialling node of another version which version this node speaks.
  const RingOffer refusal;
  const auto offer = ReadOffer(event.data());
  auto device = DeviceOf(link.cm->verbs);
  Status status = offer && has_room ? device.status() : Status{Code::kProtocol, "no offer, or too many links"};
  if (status.ok()) {
    link.device = *device;
    status = OpenRing(link);
  }
  if (status.ok()) status = link.ring->Attach(*offer);
  rdma_conn_param parameters{};
  const RingOffer own = status.ok() ? link.ring->Offer() : refusal;
  parameters.private_data = &own;
  parameters.private_data_len = sizeof own;
  if (status.ok() && link.ring->flushes()) parameters.initiator_depth = RDMA_MAX_INIT_DEPTH;
  parameters.rnr_retry_count = kRetries;
  if (status.ok() && rdma_accept(link.cm, &parameters) == 0 && link.ring->RefuseAccess().ok()) return SetTimer();
  (void)rdma_reject(link.cm, &refusal, sizeof refusal);
  if (link.ring != nullptr) link.ring->Shut();
  link.ring.reset();
  Detach(link);
}

void RdmaFabric::Establish(Link& link) {
  if (link.established) return;
  link.established = true;
  delivered_ = true;
  if (link.dialed) {
    handler_->OnConnect(link.id);
  } else {
    handler_->OnAccept(link.id, link.peer, Lane::kData);
  }
}

// --- The control lane's events.

void RdmaFabric::OnAccept(LinkId link, const Endpoint& peer, Lane lane) {
  delivered_ = true;
  handler_->OnAccept(link, peer, lane);
}
void RdmaFabric::OnConnect(LinkId link) {
  delivered_ = true;
  handler_->OnConnect(link);
}
void RdmaFabric::OnFrame(LinkId link, std::span<const std::byte> head, std::span<const std::byte> body) {
  delivered_ = true;
  handler_->OnFrame(link, head, body);
}
void RdmaFabric::OnClose(LinkId link, const Status& reason) {
  delivered_ = true;
  handler_->OnClose(link, reason);
}

// --- Waiting.

// Tells the handler what one ring delivers.
struct RdmaFabric::RingSink final : RingLink::Sink {
  RingSink(RdmaFabric* owner, LinkId owned) : fabric(owner), id(owned) {}

  void OnFrame(std::span<const std::byte> head, std::span<const std::byte> body) override {
    if (!Ready(!body.empty())) return;
    fabric->handler_->OnFrame(id, head, body);
    Link* link = fabric->Find(id);
    if (link == nullptr || !link->stranger) return;
    fabric->Drop(*link, {Code::kDenied, fmt::format("{} spoke over RDMA without a token", link->who)});
  }
  void OnPlaced(std::uint64_t place, std::span<const std::byte> body) override {
    if (Ready(true)) fabric->handler_->OnPlaced(id, place, body);
  }
  void OnFlushed(std::uint64_t count) override {
    if (Ready(false)) fabric->handler_->OnFlushed(id, count);
  }
  bool Ready(bool has_body) {
    Link* link = fabric->Find(id);
    if (link == nullptr) return false;
    // The first message can come before the event that says that the connection is established.
    if (!link->established) fabric->Establish(*link);
    if (fabric->Find(id) == nullptr) return false;
    fabric->delivered_ = true;
    fabric->got_bodies_ = fabric->got_bodies_ || has_body;
    return true;
  }

  RdmaFabric* fabric;
  LinkId id;
};

// True if anything was delivered.
bool RdmaFabric::LookAtRings() {
  const bool before = std::exchange(delivered_, false);
  // The loop goes on by id, because the handler may close any link when something is delivered.
  LinkId id = LinkId::kNone;
  for (auto at = links_.begin(); at != links_.end(); at = links_.upper_bound(id)) {
    id = at->first;
    const Link& link = *at->second;
    if (link.ring == nullptr || link.failure) continue;
    RingSink sink(this, id);
    auto more = link.ring->Receive(link.max_body, sink, link.who);
    if (more.ok()) continue;
    // A bad message proves, as a good one does, that the connection is established, even before the event that says so.
    if (Link* left = Find(id); left != nullptr && more.status().code() != Code::kUnavailable) Establish(*left);
    if (Link* left = Find(id); left != nullptr && (left->established || left->dialed)) Drop(*left, more.status());
  }
  const bool any = delivered_;
  delivered_ = any || before;
  return any;
}

void RdmaFabric::ArmRings() {
  for (const auto& [id, link] : links_) {
    if (link->ring != nullptr) link->ring->Arm();
  }
}

// Waits for the set of descriptors and handles what is ready; true if anything was delivered.
bool RdmaFabric::Look(std::chrono::microseconds timeout) {
  looked_ = SteadyClock::now();
  const bool before = std::exchange(delivered_, false);
  std::array<epoll_event, 8> events;
  const int count = WaitPrecisely(epoll_fd_, events, timeout);
  for (int i = 0; i < count; ++i) {
    switch (events[static_cast<std::size_t>(i)].data.u64) {
      case kControlKey:
        for (int taken = 0; taken < kMaxControlEvents && HandleControlEvent(); ++taken) {
        }
        break;
      case kTcpKey: tcp_.Poll(std::chrono::microseconds{0}, *this); break;
      case kChannelKey:
        for (const auto& device : devices_) QueuePair::DrainChannel(device->channel);
        break;
      case kWakeKey: {
        std::uint64_t number = 0;
        (void)!::read(wake_fd_, &number, sizeof number);
        for (const LinkId id : std::exchange(failed_, {})) {
          if (Link* link = Find(id); link != nullptr) Drop(*link, *link->failure);
        }
        ConnectGranted();
        break;
      }
      case kTimerKey: OnTimer(); break;
    }
  }
  (void)LookAtRings();
  const bool any = delivered_;
  delivered_ = any || before;
  return any;
}

void RdmaFabric::Poll(std::chrono::microseconds timeout, FabricHandler& handler) {
  FAHA_CHECK(handler_ == nullptr, "Poll is not called from its own callbacks");
  handler_ = &handler;
  delivered_ = got_bodies_ = false;
  const auto start = SteadyClock::now();
  (void)LookAtRings();
  if (timeout.count() > 0 && !delivered_) {
    const auto allowed = spin_.Next(std::min(limits_.spin, timeout));
    const auto spin_end = start + allowed;
    auto now = start;
    while (!delivered_ && (now = SteadyClock::now()) < spin_end) (void)LookAtRings();
    // If something was found only after that time, the processor was taken away meanwhile, so looking has not paid.
    if (allowed.count() > 0) spin_.Looked(delivered_ && SteadyClock::now() < spin_end);
  }
  if (!delivered_) {
    ArmRings();
    // Messages that came before the rings were armed do not make a descriptor readable, so the rings are looked at
    // again.
    const auto left = timeout - std::chrono::duration_cast<std::chrono::microseconds>(SteadyClock::now() - start);
    const bool sleep = !LookAtRings() && timeout.count() > 0 && left.count() > 0;
    (void)Look(sleep ? left : std::chrono::microseconds{0});
  } else if (start - looked_ > kMaxLinger) {
    // The control lane has its turn, however many batches come.
    (void)Look(std::chrono::microseconds{0});
  }
  if (timeout.count() == 0 && got_bodies_) Linger(start);
  const auto end = SteadyClock::now() + kMaxLinger;
  do {
    if (std::exchange(delivered_, false)) handler.OnPollEnd();
    ArmRings();
    if (SteadyClock::now() > end) {
      Wake();  // what came since the last look and before ArmRings() wakes nobody
      break;
    }
  } while (LookAtRings());
  handler_ = nullptr;
  for (auto& link : std::exchange(graveyard_, {})) Free(std::move(link));
}

// While batches come, this waits a little for the next one, because waking up costs more than looking.
void RdmaFabric::Linger(SteadyClock::time_point start) {
  auto allowed = linger_.Next(limits_.spin);
  while (allowed.count() > 0 && SteadyClock::now() < start + kMaxLinger) {
    if (std::exchange(delivered_, false)) handler_->OnPollEnd();
    const auto end = SteadyClock::now() + allowed;
    bool found = false;
    while (!found && SteadyClock::now() < end) found = LookAtRings();
    linger_.Looked(found && SteadyClock::now() < end);
    if (!found) break;
    allowed = linger_.Next(limits_.spin);
  }
}

}  // namespace faha
