-- For wrk: each thread is a user whose requests follow one another. Every answer of 200 is written down in
-- DIRECTORY/<thread>, by the body that the application made: its event was acknowledged.

local threads = 0

function setup(thread)
  thread:set("id", threads)
  threads = threads + 1
end

function init(args)
  user = args[1] .. "-" .. id
  limit = tonumber(args[3])
  number, answers = 0, 0
  acknowledged = io.open(args[2] .. "/" .. id, "w")
  acknowledged:setvbuf("line")
end

function request()
  number = number + 1
  return wrk.format(nil, wrk.path .. "?user=" .. user .. "&number=" .. number)
end

function response(status, headers, body)
  if answers >= limit then
    return
  end
  acknowledged:write(status == 200 and body or "failed " .. status .. "\n")
  answers = answers + 1
  if answers == limit then
    acknowledged:write("end\n")
    wrk.thread:stop()
  end
end
