"""php-fpm as Debian configures it, behind nginx; no story of its own."""

import glob
import os

from machine import until

SOCKET = "/run/site.sock"

SITE = """user www-data; worker_processes 1; daemon off; pid /run/nginx.pid; error_log /var/log/nginx.log;
events {{}}
http {{
  access_log off;
  server {{
    listen unix:{socket};
    location / {{
      fastcgi_pass unix:{fpm};
      fastcgi_param SCRIPT_FILENAME {script};
      fastcgi_param SCRIPT_NAME /index.php;
      fastcgi_param REQUEST_METHOD $request_method;
      fastcgi_param REQUEST_URI $request_uri;
      fastcgi_param QUERY_STRING $query_string;
      fastcgi_param SERVER_NAME localhost;
      fastcgi_param SERVER_PORT 80;
      fastcgi_param REMOTE_ADDR 127.0.0.1;
    }}
  }}
}}
"""


def start_fpm(machine):
    os.makedirs("/run/php", exist_ok=True)
    fpm = machine.start(f"{glob.glob('/usr/sbin/php-fpm*')[0]} --nodaemonize")
    until("php-fpm's socket", lambda: glob.glob("/run/php/php*-fpm.sock"))
    return fpm


def start_nginx(machine, script):
    (socket,) = glob.glob("/run/php/php*-fpm.sock")
    machine.write("/etc/nginx/page.conf", SITE.format(socket=SOCKET, fpm=socket, script=script))
    nginx = machine.start("nginx -c /etc/nginx/page.conf")
    until("nginx's socket", lambda: os.path.exists(SOCKET))
    return nginx


def write_ini(lines):
    """Adds a file to php-fpm's configuration."""
    (directory,) = glob.glob("/etc/php/*/fpm/conf.d")
    with open(f"{directory}/90-meditopia.ini", "w") as ini:
        ini.write("\n".join(lines) + "\n")
