// What all parts of a node use.  Node owns it, and each part copies from it the pointers that it needs.
#pragma once

#include "cluster/voter.h"
#include "faha/clock.h"
#include "faha/fabric.h"
#include "faha/options.h"
#include "faha/store.h"
#include "faha/types.h"
#include "store/health.h"
#include "store/replica.h"
#include "store/standing.h"

namespace faha {

struct PartContext {
  const Options* options;
  StoreObserver* observer;
  const Clock* clock;
  Fabric* fabric;
  Health* health;
  const Standing* standing;
  Replica* replica;
  const Voter* voter;
  Member self;
};

}  // namespace faha
