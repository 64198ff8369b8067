-- Events hold users' tokens: nobody reads or changes anything but by these rights.
REVOKE ALL ON SCHEMA meditopia FROM PUBLIC;
REVOKE ALL ON ALL TABLES IN SCHEMA meditopia FROM PUBLIC;
REVOKE ALL ON ALL SEQUENCES IN SCHEMA meditopia FROM PUBLIC;
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA meditopia FROM PUBLIC;
GRANT USAGE ON SCHEMA meditopia TO meditopia_forward, meditopia_enqueue, meditopia_relay, meditopia_read;
GRANT EXECUTE ON FUNCTION meditopia.fleet() TO meditopia_forward, meditopia_enqueue, meditopia_relay, meditopia_read;

-- A host hands events in, and reads nobody's.
GRANT EXECUTE ON FUNCTION meditopia.begin_spool(uuid, text, text),
  meditopia.forward(uuid, bigint, bytea, bytea, bigint, bigint, bool, bytea[], bytea[], bytea[]) TO meditopia_forward;

-- A relay sorts and delivers. Rows of lanes and of the sorter are made by init alone, hosts' by hosts.
GRANT SELECT ON ALL TABLES IN SCHEMA meditopia TO meditopia_relay;
GRANT UPDATE (hold) ON meditopia.meta TO meditopia_relay;
GRANT INSERT, DELETE ON meditopia.parcel TO meditopia_relay;
GRANT USAGE ON SEQUENCE meditopia.parcel_id TO meditopia_relay;
GRANT INSERT, DELETE ON meditopia.damaged_parcel TO meditopia_relay;
GRANT UPDATE ON meditopia.lane, meditopia.sorter TO meditopia_relay;
GRANT INSERT, UPDATE, DELETE ON meditopia.run, meditopia.suspect, meditopia.refused_in_a_row, meditopia.command,
  meditopia.relay, meditopia.rejected TO meditopia_relay;
GRANT INSERT ON meditopia.receipt TO meditopia_relay;
GRANT EXECUTE ON FUNCTION meditopia.require(bool, text), meditopia.next_parcel_id(), meditopia.keep_receipts(int),
  meditopia.forget_closed_spools(int) TO meditopia_relay;

-- An operator looks.
GRANT SELECT ON ALL TABLES IN SCHEMA meditopia TO meditopia_read;

-- An application enqueues, and reads nothing.
GRANT EXECUTE ON FUNCTION meditopia.enqueue(text, text, text, text, text),
  meditopia.enqueue_batch(text[], text[], text[], text[], text[]) TO meditopia_enqueue;
