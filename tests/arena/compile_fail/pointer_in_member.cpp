// expect: a pointer cannot travel
// expect: cannot_travel<int
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "brood/arena/codec.hpp"

struct inner {
  std::vector<std::optional<int*>> pointers;
};
struct message {
  std::string text;
  std::map<std::string, inner> members;
};
void f(const message& m) { static_cast<void>(brood::encode(m)); }
