#include "module/sentinel_order.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <initializer_list>

#include "module/call.h"

namespace faha::module {
namespace {

constexpr std::size_t kMaxAnswer = 64U << 10;  // INFO has a line for each primary that is watched

std::string Encode(std::initializer_list<std::string_view> words) {
  std::string bytes = "*" + std::to_string(words.size()) + "\r\n";
  for (const std::string_view word : words) {
    bytes.append("$").append(std::to_string(word.size())).append("\r\n").append(word).append("\r\n");
  }
  return bytes;
}

// Sentinels announce addresses.  A host name, which some Sentinels are told to announce, is not resolved here, because
// that would have to be waited for.
socklen_t Address(const Endpoint& endpoint, sockaddr_storage& storage) {
  auto* v4 = reinterpret_cast<sockaddr_in*>(&storage);
  auto* v6 = reinterpret_cast<sockaddr_in6*>(&storage);
  if (inet_pton(AF_INET, endpoint.host.c_str(), &v4->sin_addr) == 1) {
    v4->sin_family = AF_INET;
    v4->sin_port = htons(endpoint.port);
    return sizeof *v4;
  }
  if (inet_pton(AF_INET6, endpoint.host.c_str(), &v6->sin6_addr) == 1) {
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(endpoint.port);
    return sizeof *v6;
  }
  return 0;
}

bool WouldBlock() { return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINPROGRESS || errno == ENOTCONN; }

}  // namespace

SentinelOrder::SentinelOrder(const Endpoint& sentinel, std::string_view name, std::string_view password)
    : sentinel_(sentinel), give_up_at_(std::chrono::steady_clock::now() + kPatience), name_(name) {
  if (!password.empty()) {
    unsent_ = Encode({"AUTH", password});
    ++answers_due_;
  }
  unsent_ += Encode({"INFO", "sentinel"});
  Connect();
}

SentinelOrder::~SentinelOrder() {
  if (socket_ >= 0) close(socket_);
}

void SentinelOrder::Connect() {
  sockaddr_storage storage = {};
  const socklen_t size = Address(sentinel_, storage);
  if (size == 0) return;
  socket_ = socket(storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (socket_ < 0) return;
  if (connect(socket_, reinterpret_cast<const sockaddr*>(&storage), size) == 0 || errno == EINPROGRESS) return;
  close(socket_);
  socket_ = -1;
}

SentinelOrder::Outcome SentinelOrder::Step() {
  if (socket_ < 0) return Outcome::kUnreachable;
  Outcome outcome = Send();
  if (outcome == Outcome::kPending && unsent_.empty()) outcome = Receive();
  const bool late = std::chrono::steady_clock::now() >= give_up_at_;
  return outcome == Outcome::kPending && late ? Outcome::kUnreachable : outcome;
}

SentinelOrder::Outcome SentinelOrder::Send() {
  while (!unsent_.empty()) {
    const ssize_t sent = send(socket_, unsent_.data(), unsent_.size(), MSG_NOSIGNAL);
    if (sent < 0) return WouldBlock() ? Outcome::kPending : Outcome::kUnreachable;
    unsent_.erase(0, static_cast<std::size_t>(sent));
  }
  return Outcome::kPending;
}

SentinelOrder::Outcome SentinelOrder::Receive() {
  char buffer[512];
  for (;;) {
    const ssize_t got = recv(socket_, buffer, sizeof buffer, 0);
    if (got < 0) return WouldBlock() ? Outcome::kPending : Outcome::kUnreachable;
    if (got == 0 || received_.size() > kMaxAnswer) return Outcome::kUnreachable;
    received_.append(buffer, static_cast<std::size_t>(got));
    while (auto reply = TakeReply()) {
      answer_ = *std::move(reply);
      if (ordered_) {
        const bool accepted = answer_.starts_with('+') || answer_.starts_with("-INPROG");
        return accepted ? Outcome::kAccepted : Outcome::kRefused;
      }
      if (--answers_due_ > 0) continue;
      if (answer_.find("sentinel_tilt:1") != std::string::npos) {
        answer_ = "-TILT it stood still, and does nothing for a while";
        return Outcome::kRefused;
      }
      ordered_ = true;
      unsent_ = Encode({"SENTINEL", "FAILOVER", name_});
      if (const Outcome outcome = Send(); outcome != Outcome::kPending) return outcome;
    }
  }
}

std::optional<std::string> SentinelOrder::TakeReply() {
  const std::size_t end = received_.find("\r\n");
  if (end == std::string::npos) return std::nullopt;
  std::string reply = received_.substr(0, end);
  std::size_t taken = end + 2;
  if (reply.starts_with('$')) {
    const auto bytes = static_cast<std::size_t>(std::max<std::int64_t>(0, ParseInteger(reply.substr(1)).value_or(0)));
    if (received_.size() < taken + bytes + 2) return std::nullopt;
    reply = received_.substr(taken, bytes);
    taken += bytes + 2;
  }
  received_.erase(0, taken);
  return reply;
}

}  // namespace faha::module
