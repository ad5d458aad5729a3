-- GROUP_SWEEP: takes members out of a group that ended where no FINISH of ours saw it, and closes one
-- whose callback did. Keeps true: it finds nothing to do where FINISH, or another sweep, was first.
-- KEYS the group's   ARGV gid close('1'|''), then per member: name failed('1'|'') has('1'|'') saved
-- Reply: how many members were taken out.
local gid = ARGV[1]
if not groups(types())(gid) then return bad('a key of the group') end
if ARGV[2] == '1' or redis.call('EXISTS', KEYS[1]) == 0 then
  close_group(gid)
  return 0
end
local ended = {}
for i = 3, #ARGV, 4 do
  local n = #ended
  ended[n + 1], ended[n + 2] = ARGV[i], ARGV[i + 1] == '1'
  ended[n + 3] = ARGV[i + 2] == '1' and ARGV[i + 3]
end
return take(gid, ended)
