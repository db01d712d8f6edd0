-- Sends the bodies of a file in turn. Times `wanted` answers, or those of `seconds`, from the
-- moment `warm` answers have come: the connections are full at both ends of what is timed.
local ffi = require("ffi")
ffi.cdef[[
typedef struct { long seconds; long nanoseconds; } moment;
int clock_gettime(int clock, moment *now);
int getpid(void);
int kill(int pid, int signal);
]]
local MONOTONIC, SIGINT = 1, 2
local threads = {}
local requests, next_request = {}, 0
local began, ended = false, false
local limit_seconds, warm, wanted

answered, timed, seconds, refused = 0, 0, 0, 0

local function now()
  local moment = ffi.new("moment")
  ffi.C.clock_gettime(MONOTONIC, moment)
  return tonumber(moment.seconds) + tonumber(moment.nanoseconds) / 1e9
end

function setup(thread)
  table.insert(threads, thread)
end

function init(args)
  warm, wanted, limit_seconds = tonumber(args[2]), tonumber(args[3]), tonumber(args[4])
  local headers = {["content-type"] = "application/json"}
  for index = 5, #args do
    local name, value = args[index]:match("^([^:]+): (.*)$")
    headers[name] = value
  end
  for body in io.lines(args[1]) do
    table.insert(requests, wrk.format("POST", nil, headers, body))
  end
end

function request()
  next_request = next_request % #requests + 1
  return requests[next_request]
end

function response(status)
  answered = answered + 1
  if status ~= 200 then
    refused = refused + 1
  end
  if not began and answered >= warm then
    began = now()
  elseif began and not ended then
    timed = timed + 1
    seconds = now() - began
    if timed >= wanted or seconds >= limit_seconds then
      ended = true
      ffi.C.kill(ffi.C.getpid(), SIGINT) -- wrk ends as at its time limit
    end
  end
end

function done(summary, latency)
  local thread = threads[1]
  local errors = summary.errors
  io.write(string.format(
    '\n{"answered": %d, "timed": %d, "seconds": %f, "refused": %d, "broken": %d, ' ..
    '"p50_ms": %f, "p99_ms": %f}\n',
    thread:get("answered"), thread:get("timed"), thread:get("seconds"), thread:get("refused"),
    errors.connect + errors.read + errors.write + errors.timeout,
    latency:percentile(50) / 1000, latency:percentile(99) / 1000))
end
