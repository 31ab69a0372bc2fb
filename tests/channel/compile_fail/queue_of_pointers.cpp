// expect: a pointer cannot travel
// expect: cannot_travel<node
#include "brood/channel/queue.hpp"

struct node {
  node* next;
};

brood::queue<node> q(3);
