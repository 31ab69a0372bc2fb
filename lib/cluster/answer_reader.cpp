#include "cluster/answer_reader.hpp"

#include <fmt/format.h>
#include <hiredis/hiredis.h>

#include <iterator>
#include <new>

namespace brood::cluster::detail {
namespace {

answer to_answer(const redisReply& reply) {
  answer result;
  switch (reply.type) {
    case REDIS_REPLY_INTEGER:
      result.what = answer::kind::number;
      result.count = reply.integer;
      break;
    case REDIS_REPLY_STRING:
    case REDIS_REPLY_STATUS:
    case REDIS_REPLY_ERROR:
      result.what = reply.type == REDIS_REPLY_ERROR ? answer::kind::failure : answer::kind::text;
      result.text.assign(reply.str, reply.len);
      break;
    case REDIS_REPLY_ARRAY:
      result.what = answer::kind::list;
      result.items.reserve(reply.elements);
      for (std::size_t i = 0; i < reply.elements; ++i) result.items.push_back(to_answer(*reply.element[i]));
      break;
    case REDIS_REPLY_NIL:
      break;
    default:
      throw malformed_answer();  // of a protocol that was not asked for
  }
  return result;
}

}  // namespace

answer_reader::answer_reader() : reader_(redisReaderCreate()) {
  if (reader_ == nullptr) throw std::bad_alloc();
}

answer_reader::~answer_reader() { redisReaderFree(reader_); }

void answer_reader::feed(std::span<const char> bytes) {
  if (redisReaderFeed(reader_, bytes.data(), bytes.size()) != REDIS_OK) throw malformed_answer();
}

std::optional<answer> answer_reader::next() {
  void* read = nullptr;
  if (redisReaderGetReply(reader_, &read) != REDIS_OK) throw malformed_answer();
  if (read == nullptr) return std::nullopt;
  const std::unique_ptr<void, decltype(&freeReplyObject)> reply(read, &freeReplyObject);
  return to_answer(*static_cast<redisReply*>(read));
}

void append_request(std::string& out, const words& request) {
  fmt::format_to(std::back_inserter(out), "*{}\r\n", request.size());
  for (const std::string& word : request) {
    fmt::format_to(std::back_inserter(out), "${}\r\n", word.size());
    out += word;
    out += "\r\n";
  }
}

}  // namespace brood::cluster::detail
