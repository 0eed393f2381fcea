// Corrects the command names that Redis shows.  Redis shows the name that a command runs under, which the filter has
// changed: "faha.get" instead of "get".  INFO's commandstats and latencystats, CLIENT LIST and INFO, SLOWLOG, ACL LOG
// and LATENCY HISTOGRAM show the names that clients know.  MONITOR shows FaHA's names, because no module can change its
// output.  Thread: main loop only.
#pragma once

#include <string>
#include <string_view>

namespace faha::module {

// Redis' name of the command that runs as `name`; `name` itself if it is not FaHA's name for one of Redis' commands.
std::string_view ShownName(std::string_view name);

// Changes the sections Commandstats and Latencystats of INFO's text to the names that clients know.  Where FaHA also
// runs Redis' own command, the client's call is counted only once.
void TellCommands(std::string& info);

}  // namespace faha::module
