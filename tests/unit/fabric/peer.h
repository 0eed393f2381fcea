// Nodes of the fabric tests: a fabric and a record of what it told.  Thread: the test's.
// No test sleeps: it polls until what it waits for is there, or a generous deadline has passed.
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <functional>
#include <initializer_list>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "fabric/tcp_fabric.h"

namespace faha::fabric_test {

using namespace std::chrono_literals;

inline std::span<const std::byte> Bytes(std::string_view text) { return std::as_bytes(std::span(text)); }

inline std::string Text(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

inline std::string RandomText(std::mt19937_64& random, std::size_t size) {
  std::string text(size, '\0');
  for (char& c : text) c = static_cast<char>(random());
  return text;
}

struct Recorder : FabricHandler {
  explicit Recorder(Fabric* recorded) : seam(recorded) {}
  virtual std::uint16_t port() const = 0;

  void OnAccept(LinkId link, const Endpoint&, Lane lane) override {
    InPoll();
    if (trusts) seam->Trust(link);
    EXPECT_EQ(lane == Lane::kData, seam->TransportOf(link) == Transport::kRdma);
    accepted.push_back(link);
    seam->AllowBody(link, max_body);
    if (on_accept) on_accept(link);
  }
  void OnConnect(LinkId link) override {
    InPoll();
    connected.push_back(link);
    seam->AllowBody(link, max_body);
    if (on_connect) on_connect(link);
  }
  void OnFrame(LinkId link, std::span<const std::byte> head, std::span<const std::byte> body) override {
    InPoll();
    EXPECT_FALSE(closed.contains(link)) << "a frame of a link that is gone";
    ++frames;
    if (on_frame) return on_frame(link, head, body);
    got[link].emplace_back(Text(head), Text(body));
  }
  void OnPlaced(LinkId link, std::uint64_t place, std::span<const std::byte> body) override {
    InPoll();
    EXPECT_FALSE(closed.contains(link)) << "a body of a link that is gone";
    ++frames;
    if (on_placed) on_placed(link, place, body);
  }
  void OnFlushed(LinkId link, std::uint64_t count) override {
    InPoll();
    EXPECT_FALSE(closed.contains(link)) << "a flush of a link that is gone";
    EXPECT_GT(count, std::exchange(flushed[link], count)) << "counted twice";
  }
  void OnClose(LinkId link, const Status& reason) override {
    InPoll();
    EXPECT_TRUE(closed.emplace(link, reason).second) << "told twice";
    if (on_close) on_close(link);
  }
  void OnPollEnd() override {
    EXPECT_TRUE(told) << "nothing was delivered";
    ++poll_ends;
    told = false;
    if (on_poll_end) on_poll_end();
  }

  void InPoll() {
    EXPECT_TRUE(polling) << "a callback outside Poll";
    told = true;
  }

  void Poll(std::chrono::microseconds timeout) {
    polling = true;
    seam->Poll(timeout, *this);
    polling = false;
    EXPECT_FALSE(told) << "OnPollEnd is missing";
  }

  void Listen() { ASSERT_TRUE(seam->Listen({host, 0}).ok()); }
  [[nodiscard]] Endpoint at() const { return {host, port()}; }

  Fabric* seam;
  std::string host = "127.0.0.1";
  std::uint32_t max_body = 0;
  bool trusts = true;  // whoever is accepted
  std::vector<LinkId> accepted, connected;
  std::map<LinkId, Status> closed;
  std::map<LinkId, std::vector<std::pair<std::string, std::string>>> got;
  std::map<LinkId, std::uint64_t> flushed;
  std::uint64_t frames = 0, poll_ends = 0;
  bool told = false, polling = false;
  std::function<void(LinkId)> on_accept, on_connect, on_close;
  std::function<void(LinkId, std::span<const std::byte>, std::span<const std::byte>)> on_frame;
  std::function<void(LinkId, std::uint64_t, std::span<const std::byte>)> on_placed;
  std::function<void()> on_poll_end;
};

// What all peers use, unless they are told otherwise.
inline std::shared_ptr<Tls> everyones_tls;

struct Peer final : Recorder {
  explicit Peer(const TcpFabricLimits& limits = {}) : Recorder(&fabric), fabric(WithTls(limits)) {}
  static TcpFabricLimits WithTls(TcpFabricLimits limits) {
    if (!limits.tls) limits.tls = everyones_tls;
    return limits;
  }
  [[nodiscard]] std::uint16_t port() const override { return fabric.port(); }

  TcpFabric fabric;
};

// Polls every peer in turn until `done`.
template <typename Done>
bool PollUntil(std::initializer_list<Recorder*> peers, Done done) {
  const auto deadline = std::chrono::steady_clock::now() + 30s;
  while (!done()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    for (Recorder* peer : peers) peer->Poll(peers.size() == 1 ? 10ms : 100us);
  }
  return true;
}

// A link from `from` to `to`: its ids at either end.
struct LinkPair {
  LinkId from = LinkId::kNone, to = LinkId::kNone;
};
inline LinkPair Connect(Recorder& from, Recorder& to, Lane lane = Lane::kControl) {
  const std::size_t accepted = to.accepted.size(), connected = from.connected.size();
  const LinkId link = from.seam->Dial(to.at(), lane);
  EXPECT_TRUE(
      PollUntil({&from, &to}, [&] { return to.accepted.size() > accepted && from.connected.size() > connected; }));
  if (to.accepted.size() <= accepted) return {};
  return {link, to.accepted.back()};
}

}  // namespace faha::fabric_test
