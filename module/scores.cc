#include "module/scores.h"

#include <array>
#include <cctype>
#include <cerrno>
#include <cmath>
#include <cstdio>
#include <cstdlib>

namespace faha::module {

std::optional<double> ParseScore(std::string_view text) {
  if (text.empty() || std::isspace(static_cast<unsigned char>(text.front())) != 0) return std::nullopt;
  const std::string owned(text);
  char* end = nullptr;
  errno = 0;
  const double score = std::strtod(owned.c_str(), &end);
  const bool out_of_range = errno == ERANGE && (std::isinf(score) || score == 0);
  if (end != owned.c_str() + owned.size() || out_of_range || std::isnan(score)) return std::nullopt;
  return score;
}

std::string ScoreText(double score) {
  std::array<char, 40> text{};
  const int size = std::snprintf(text.data(), text.size(), "%.17g", score);
  return {text.data(), static_cast<std::size_t>(size)};
}

double Kept(RedisModuleCtx* ctx, double score, std::uint64_t size) {
  if (score != 0 || !std::signbit(score)) return score;
  const auto most = ParseInteger(ConfigValue(ctx, "zset-max-listpack-entries")).value_or(0);
  return size > static_cast<std::uint64_t>(most) ? score : 0;
}

}  // namespace faha::module
