// The client's side of calls, values and handles, in terms of `client`.
#include "brood/manager/detail/remote_call.hpp"

#include <stdexcept>

#include "brood/manager/detail/proxy.hpp"
#include "brood/process/current.hpp"
#include "manager/client.hpp"

namespace brood::remote {
namespace {

thread_local home_scope* innermost = nullptr;

}  // namespace

home_scope::home_scope(client* home) noexcept : home_(home), outer_(std::exchange(innermost, this)) {}
home_scope::~home_scope() { innermost = outer_; }
home_scope* home_scope::current() noexcept { return innermost; }

reference::reference(std::shared_ptr<client> manager, std::uint64_t of_instance, number object,
                     std::uint64_t object_type)
    : home(std::move(manager)), instance(of_instance), id(object), type(object_type) {}

std::uint64_t present_epoch(const reference& object) noexcept { return object.home->epoch(); }

reference::~reference() { home->release(*this); }

void put_encoded(bytes& out, std::span<const std::byte> data, const std::vector<object_pointer>& objects) {
  put_count(out, static_cast<std::uint64_t>(data.size()) << 1 | (objects.empty() ? 0 : 1));
  if (!objects.empty()) {
    put_count(out, objects.size());
    for (const object_pointer& o : objects) put_count(out, o->id);
  }
  put_bytes(out, data);
}

request::request(std::shared_ptr<client> home, kind what, std::uint64_t type, std::string_view name)
    : home_(std::move(home)), has_name_(!name.empty()) {
  body_.push_back(static_cast<std::byte>(operation::create));
  body_.push_back(static_cast<std::byte>(what));
  put_fixed(body_, type);
  put_text(body_, name);
}

request::request(std::shared_ptr<client> home, operation what) : home_(std::move(home)) {
  body_.push_back(static_cast<std::byte>(what));
}

void request::keep(const std::vector<object_pointer>& objects) {
  for (const object_pointer& o : objects) {
    if (instance_ != 0 && instance_ != o->instance) {
      throw object_gone(
          "brood: a value names objects of a manager that has gone and of the one that came after it");
    }
    instance_ = o->instance;
    kept_.push_back(o);
  }
}

std::uint64_t submit(std::shared_ptr<const request> what, pending_call& waiter) {
  client& home = *what->home();
  return home.submit(std::move(what), waiter);
}

void post(const request& what) noexcept { what.home()->post(what); }

void give_back(const object_pointer& from, std::uint64_t method, std::uint64_t granted) noexcept {
  from->home->give_back(*from, method, granted);
}

void abandon(const request& what, std::uint64_t id, undo take_back) noexcept {
  what.home()->abandon(id, take_back);
}

void take_back(undo how, const request& asked, std::span<const std::byte> body, bool again) noexcept {
  try {
    answer_reader from(asked, body, again);
    how(from);
  } catch (const std::bad_alloc&) {
    asked.home()->break_off();
  } catch (...) {  // whoever put it cannot expect more of what its own type does not read
  }
}

object_pointer answer_reader::take_object() {
  const number id = in_.read_number();
  return again_ ? home()->known(home()->instance(), id, 0) : home()->granted(id);
}

answer_reader::held_value answer_reader::take_value() {
  held_value result;
  const std::uint64_t header = in_.read_number();
  if ((header & 1) != 0) {
    for (std::size_t left = size(); left > 0; --left) result.objects.push_back(take_object());
  }
  const std::uint64_t data = header >> 1;
  if (data > in_.remaining()) throw decode_error("a value of more bytes than there are");
  result.data = {in_.take(static_cast<std::size_t>(data)), static_cast<std::size_t>(data)};
  return result;
}

object_pointer answer_reader::object(std::uint64_t type) {
  auto made = take_object();
  made->type = type;
  if (asked_.has_name()) made->named_by = asked_.shared_from_this();
  return made;
}

// --- handles that travel ---

passport leave(const object_pointer& object, bool& at_home) {
  client& home = *object->home;
  passport papers;
  papers.instance = object->instance;
  papers.id = object->id;
  home_scope* scope = home_scope::current();
  at_home = scope != nullptr && scope->home() == &home;
  if (at_home) {
    scope->objects.push_back(object);
    return papers;
  }
  papers.address = home.where().text();
  if (!is_family_key(home.key())) papers.key.assign(home.key().bytes().begin(), home.key().bytes().end());
  home.lend(*object);
  return papers;
}

object_pointer arrive_home(number id, std::uint64_t type) {
  home_scope* scope = home_scope::current();
  if (scope == nullptr || scope->home() == nullptr) {
    throw decode_error("a handle of a manager's object outside of that manager");
  }
  client& home = *scope->home();
  return home.known(home.instance(), id, type);
}

std::shared_ptr<client> find_client(const passport& papers) {
  address where;
  try {
    where = address(papers.address);
  } catch (const std::invalid_argument& wrong) {
    throw decode_error(wrong.what());
  }
  const authkey key = papers.key.empty() ? authkey() : authkey(papers.key);
  return client::find(where, key);
}

object_pointer arrive(const passport& papers, std::uint64_t type) {
  return find_client(papers)->known(papers.instance, papers.id, type);
}

bool is_family_key(const authkey& key) {
  const auto family = current_process().authkey();
  return std::equal(key.bytes().begin(), key.bytes().end(), family.begin(), family.end());
}

}  // namespace brood::remote
