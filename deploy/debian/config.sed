# The settings of the package: paths of the folders that tmpfiles.conf makes, since the file is in /etc.
s|^drop_folder: drop$|drop_folder: /srv/weldnet/drop|
s|^archive_folder: archive\b|archive_folder: /srv/weldnet/station/archive|
s|^quarantine_folder: quarantine\b|quarantine_folder: /srv/weldnet/station/quarantine|
s|^database_url: sqlite:///quality.db$|database_url: sqlite:////srv/weldnet/station/quality.db|
s|^artifact: weldnet.pt$|artifact: /srv/weldnet/station/weldnet.pt|
s|^console_people: console-people.yaml$|console_people: /etc/weldnet/console-people.yaml|
