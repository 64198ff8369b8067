-- Roles are the server's, not the database's: another fleet on this server has them already.
DO $$
DECLARE
  wanted text;
BEGIN
  FOREACH wanted IN ARRAY ARRAY['meditopia_owner', 'meditopia_forward', 'meditopia_enqueue', 'meditopia_relay', 'meditopia_read'] LOOP
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = wanted) THEN
      BEGIN
        EXECUTE pg_catalog.format('CREATE ROLE %I NOLOGIN', wanted);
      EXCEPTION WHEN duplicate_object OR unique_violation THEN
        NULL; -- The same moment, in another database.
      END;
    END IF;
  END LOOP;
  -- Only a member may act as the owner. A superuser needs no grant; one who is a member already may not be
  -- allowed to make it.
  IF NOT (SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user) THEN
    BEGIN
      EXECUTE pg_catalog.format('GRANT meditopia_owner TO %I', current_user);
    EXCEPTION WHEN insufficient_privilege THEN
      NULL;
    END;
  END IF;
END
$$;
