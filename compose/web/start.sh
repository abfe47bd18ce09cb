#!/bin/sh
# Tables and the first items need a primary: wait for one. Later starts find both there, and change nothing.
set -eu
until python manage.py migrate --noinput --verbosity 0 && python manage.py seed; do
    echo "there is no primary yet; trying again in a second" >&2
    sleep 1
done
exec gunicorn laboratory.wsgi
