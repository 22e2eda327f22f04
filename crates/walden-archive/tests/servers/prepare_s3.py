"""Makes the bucket and a user with a key in moto, which checks signatures from then on. Prints the key's id and secret."""

import json
import sys
import urllib.request

import boto3

BUCKET = "walden"

place = f"http://127.0.0.1:{sys.argv[1]}"
anybody = dict(
    endpoint_url=place,
    region_name="us-east-1",
    aws_access_key_id="anybody",
    aws_secret_access_key="anything",
)
boto3.client("s3", **anybody).create_bucket(Bucket=BUCKET)
iam = boto3.client("iam", **anybody)
iam.create_user(UserName="archiver")
arns = [f"arn:aws:s3:::{BUCKET}", f"arn:aws:s3:::{BUCKET}/*", "arn:aws:s3:::elsewhere"]
allowed = {"Effect": "Allow", "Action": "s3:*", "Resource": arns}
policy = json.dumps({"Version": "2012-10-17", "Statement": [allowed]})
iam.put_user_policy(UserName="archiver", PolicyName="archive", PolicyDocument=policy)
key = iam.create_access_key(UserName="archiver")["AccessKey"]
checked = urllib.request.Request(f"{place}/moto-api/reset-auth", data=b"0")
checked.add_header("Content-Type", "text/plain")
urllib.request.urlopen(checked).read()
print(key["AccessKeyId"], key["SecretAccessKey"])
