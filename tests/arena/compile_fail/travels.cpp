// expect: nothing
#include <string>

#include "brood/arena/codec.hpp"

struct message {
  std::string text;
};
auto encoded = brood::encode(message{"x"});
auto decoded = brood::decode<message>(encoded);
