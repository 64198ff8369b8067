from meditopia import Client

with Client(from_env=True) as client:
    client.enqueue(token="user-token-1", partner_user_id="user-1", event="video", event_value="morning calm")
    print(client.flush(30))
