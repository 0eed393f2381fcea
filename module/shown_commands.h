// What Redis shows of commands by the names that they run under, which the filter has given them: "faha.get" for "get".
// INFO's commandstats and latencystats, CLIENT LIST and INFO, SLOWLOG, ACL LOG and LATENCY HISTOGRAM show the names
// that clients know.  MONITOR shows FaHA's, for no module can change what it says.  Thread: main loop only.
#pragma once

#include <string>
#include <string_view>

namespace faha::module {

// Redis' name of the command that runs as `name`; `name` itself if it is no name of FaHA's for one of Redis' commands.
std::string_view ShownName(std::string_view name);

// INFO's text with the sections Commandstats and Latencystats by the names that clients know.  Where FaHA runs Redis'
// own command as well, the client's call is counted once.
void TellCommands(std::string& info);

}  // namespace faha::module
