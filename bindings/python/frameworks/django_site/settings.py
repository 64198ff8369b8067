"""The least that Django asks for."""

SECRET_KEY = "only-for-the-example"
ALLOWED_HOSTS = ["127.0.0.1"]
ROOT_URLCONF = "django_site.urls"
INSTALLED_APPS = []
DATABASES = {}
WSGI_APPLICATION = "django_site.wsgi.application"
