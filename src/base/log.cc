#include "base/log.h"

#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <array>
#include <atomic>
#include <cstdlib>
#include <memory>
#include <utility>

namespace hairpin::log {

namespace {

std::shared_ptr<spdlog::logger> logger;
std::function<void(Level, const std::string&)> sink;
std::atomic<Level> threshold{Level::off};
bool journal = false;

constexpr std::array<std::pair<std::string_view, Level>, 7> kNames{{
    {"trace", Level::trace},
    {"debug", Level::debug},
    {"info", Level::info},
    {"warn", Level::warn},
    {"error", Level::error},
    {"fatal", Level::fatal},
    {"panic", Level::fatal},
}};

spdlog::level::level_enum library_level(Level level) {
  constexpr std::array kLevels{spdlog::level::trace, spdlog::level::debug, spdlog::level::info,
                               spdlog::level::warn,  spdlog::level::err,   spdlog::level::critical,
                               spdlog::level::off};
  return kLevels[static_cast<std::size_t>(level)];
}

/// sd-daemon(3): what the journal takes as the priority of a line.
int journal_priority(Level level) {
  constexpr std::array kPriorities{7, 7, 6, 4, 3, 2, 2};
  return kPriorities[static_cast<std::size_t>(level)];
}

}  // namespace

std::optional<Level> parse_level(std::string_view name) {
  for (const auto& [known, level] : kNames) {
    if (known == name) return level;
  }
  return std::nullopt;
}

Result<> start(const Options& options) {
  sink = options.sink;
  threshold = options.level;
  if (sink) return {};
  try {
    spdlog::sink_ptr writes;
    if (options.file.empty()) {
      writes = std::make_shared<spdlog::sinks::stderr_sink_mt>();
      journal = std::getenv("JOURNAL_STREAM") != nullptr;
    } else {
      writes = std::make_shared<spdlog::sinks::basic_file_sink_mt>(options.file);
    }
    logger = std::make_shared<spdlog::logger>("hairpin", std::move(writes));
  } catch (const spdlog::spdlog_ex& failure) {
    return Error{std::string("log.output: ") + failure.what()};
  }
  std::string pattern = "%l %v";
  if (journal) pattern = "%v";
  if (!journal && options.timestamp) pattern = "%Y-%m-%d %H:%M:%S.%e %l %v";
  logger->set_pattern(pattern);
  logger->set_level(spdlog::level::trace);
  logger->flush_on(spdlog::level::trace);
  return {};
}

void set_level(Level level) {
  threshold = level;
}
Level level() {
  return threshold;
}
bool enabled(Level level) {
  return level >= threshold.load(std::memory_order_relaxed);
}

void write(Level level, std::string_view line) {
  if (sink) return sink(level, std::string(line));
  if (!logger || !enabled(level)) return;
  if (journal) {
    logger->log(library_level(level), "<{}>{}", journal_priority(level), line);
  } else {
    logger->log(library_level(level), line);
  }
}

}  // namespace hairpin::log
